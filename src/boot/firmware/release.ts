const BANNER = 'Linux version ';

/** The kernel release as `uname -r` prints it: the word after "Linux version ", where it starts with a digit: the banner, not a format string. */
export function kernelRelease(image: Uint8Array): string {
  for (let at = image.indexOf(0x4c); at >= 0; at = image.indexOf(0x4c, at + 1)) {
    let length = 1;
    while (length < BANNER.length && image[at + length] === BANNER.charCodeAt(length)) length++;
    if (length < BANNER.length) continue;
    const release = word(image, at + BANNER.length);
    if (/^[0-9]/.test(release)) return release;
  }
  return '';
}

/** Printable characters without spaces, at most 64: the length of a field of struct utsname. */
function word(image: Uint8Array, at: number): string {
  let text = '';
  for (let i = at; i < at + 64; i++) {
    const byte = image[i] ?? 0;
    if (byte <= 0x20 || byte >= 0x7f) break;
    text += String.fromCharCode(byte);
  }
  return text;
}
