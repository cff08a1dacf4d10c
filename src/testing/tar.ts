/** One member of a tar file, header and padding included. @spec USTAR "ustar Interchange Format" */
export function tarEntry(name: string, content: Uint8Array, { type = '0', prefix = '' } = {}): Uint8Array<ArrayBuffer> {
  const entry = new Uint8Array(512 + Math.ceil(content.length / 512) * 512);
  const put = (at: number, text: string): void => entry.set(new TextEncoder().encode(text), at);
  put(0, name);
  put(100, '0000644\0');
  put(124, `${content.length.toString(8).padStart(11, '0')}\0`);
  put(148, ' '.repeat(8));
  put(156, type);
  put(257, 'ustar\x0000');
  put(345, prefix);
  put(148, `${sum(entry.subarray(0, 512)).toString(8).padStart(6, '0')}\0 `);
  entry.set(content, 512);
  return entry;
}

/** Members and the two empty blocks behind them. */
export function tarFile(...entries: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const file = new Uint8Array(entries.reduce((length, entry) => length + entry.length, 1024));
  let at = 0;
  for (const entry of entries) {
    file.set(entry, at);
    at += entry.length;
  }
  return file;
}

function sum(bytes: Uint8Array): number {
  return bytes.reduce((a, b) => a + b, 0);
}
