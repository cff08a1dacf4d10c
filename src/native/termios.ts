import { createRequire } from 'node:module';

/** Linux's struct termios, as glibc and musl lay it out: flags first. @spec LINUX-UAPI termbits.h */
const TERMIOS_BYTES_MAX = 64;
const C_OFLAG = 4;
const OPOST = 1;
const TCSANOW = 0;

/**
 * Makes a terminal write bytes as they are, without turning line feeds into two characters.
 * The buffer lives for the calls only.
 *
 * @returns whether it does now; false without koffi, on another host, or when it is no terminal
 */
export function disableOutputProcessing(fd: number): boolean {
  if (process.platform !== 'linux') return false;
  try {
    const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
    const libc = koffi.load(null);
    const tcgetattr = libc.func('int tcgetattr(int fd, _Out_ uint8_t *termios)');
    const tcsetattr = libc.func('int tcsetattr(int fd, int actions, const uint8_t *termios)');
    const termios = new Uint8Array(TERMIOS_BYTES_MAX);
    if (tcgetattr(fd, termios) !== 0) return false;
    const view = new DataView(termios.buffer);
    view.setUint32(C_OFLAG, view.getUint32(C_OFLAG, true) & ~OPOST, true);
    return tcsetattr(fd, TCSANOW, termios) === 0;
  } catch {
    return false; // An optional dependency: without it lines end in one carriage return too many.
  }
}
