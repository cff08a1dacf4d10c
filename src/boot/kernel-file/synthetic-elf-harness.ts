/** One loadable segment of a synthetic ELF file. */
export interface SyntheticSegment {
  readonly type?: number;
  readonly address: number;
  readonly bytes: Uint8Array;
  readonly memoryBytes?: number;
}

/** An ELF-64 executable for x86-64 with program headers only. Numbers may be absurd. @spec ELF */
export function syntheticElf(entry: number, segments: readonly SyntheticSegment[]): Uint8Array {
  const dataAt = 64 + segments.length * 56;
  const file = new Uint8Array(segments.reduce((end, { bytes }) => end + bytes.length, dataAt));
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(0x10, 2, true);
  view.setUint16(0x12, 62, true);
  view.setBigUint64(0x18, BigInt(entry), true);
  view.setBigUint64(0x20, 64n, true);
  view.setUint16(0x36, 56, true);
  view.setUint16(0x38, segments.length, true);
  let at = dataAt;
  segments.forEach(({ type = 1, address, bytes, memoryBytes = bytes.length }, index) => {
    const header = 64 + index * 56;
    view.setUint32(header, type, true);
    view.setBigUint64(header + 0x08, BigInt(at), true);
    view.setBigUint64(header + 0x18, BigInt(address), true);
    view.setBigUint64(header + 0x20, BigInt(bytes.length), true);
    view.setBigUint64(header + 0x28, BigInt(memoryBytes), true);
    file.set(bytes, at);
    at += bytes.length;
  });
  return file;
}

/** The note that names a PVH entry point. @spec PVH */
export function pvhNote(entry: number): Uint8Array {
  const note = new Uint8Array(20);
  const view = new DataView(note.buffer);
  view.setUint32(0, 4, true);
  view.setUint32(4, 4, true);
  view.setUint32(8, 18, true);
  note.set([0x58, 0x65, 0x6e, 0], 12);
  view.setUint32(16, entry, true);
  return note;
}

/** A bzImage of protocol 2.15 around a payload, in two sectors of setup. @spec LINUX-BOOT */
export function syntheticBzImage(payload: Uint8Array): Uint8Array {
  const setup = 2 * 512;
  const payloadAt = 0x300;
  const file = new Uint8Array(setup + payloadAt + payload.length);
  const view = new DataView(file.buffer);
  view.setUint8(0x1f1, 1);
  view.setUint16(0x1fe, 0xaa55, true);
  file.set([0xeb, 0x66], 0x200);
  view.setUint32(0x202, 0x53726448, true);
  view.setUint16(0x206, 0x020f, true);
  view.setUint16(0x20e, 0x100, true);
  file.set(new TextEncoder().encode('6.1.0-test (somebody) #1\0'), 0x300);
  view.setUint8(0x211, 1);
  view.setUint16(0x236, 1, true);
  view.setUint32(0x238, 2047, true);
  view.setUint32(0x248, payloadAt, true);
  view.setUint32(0x24c, payload.length, true);
  view.setBigUint64(0x258, 0x1000000n, true);
  view.setUint32(0x260, 0x400000, true);
  file.set(payload, setup + payloadAt);
  return file;
}
