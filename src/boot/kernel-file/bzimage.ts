import type { KernelImage } from '../kernel-image.ts';
import { badKernel, KERNEL_BYTES_MAX } from './limits.ts';

/** Offsets in the file. @spec LINUX-BOOT "The Real-Mode Kernel Header" */
const HEADER = {
  setup_sects: 0x1f1,
  boot_flag: 0x1fe,
  jump: 0x200,
  header: 0x202,
  version: 0x206,
  kernel_version: 0x20e,
  loadflags: 0x211,
  xloadflags: 0x236,
  cmdline_size: 0x238,
  payload_offset: 0x248,
  payload_length: 0x24c,
  pref_address: 0x258,
  init_size: 0x260,
  end: 0x268,
} as const;

const MAGIC = 0x5372_6448; // "HdrS"
const SECTOR_BYTES = 512;
const LOADED_HIGH = 1;
const XLF_KERNEL_64 = 1;
/** The protocol that has all fields above, of Linux 3.8. */
const VERSION_MIN = 0x020c;
/** Where the 64-bit entry is, from the start of the protected-mode code. */
const ENTRY_64 = 0x200;

/** What a bzImage says about itself. */
export interface BzImage {
  /** The compressed kernel; its last four bytes are its plain size. */
  readonly payload: Uint8Array;
  /** The image as its own decompressor wants to be loaded. */
  readonly selfExtracting: KernelImage;
  /** Bytes of command line it keeps, NUL included. */
  readonly commandLineSize: number;
  /** As `uname -r` prints it; empty when it is not there. */
  readonly release: string;
}

/** Whether the file has the setup header of the Linux boot protocol. */
export function isBzImage(file: Uint8Array): boolean {
  if (file.length < HEADER.end) return false;
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  return view.getUint16(HEADER.boot_flag, true) === 0xaa55 && view.getUint32(HEADER.header, true) === MAGIC;
}

/** @spec LINUX-BOOT   @throws {BootError} ERR_KERNEL_IMAGE */
export function parseBzImage(file: Uint8Array): BzImage {
  if (!isBzImage(file)) throw badKernel('it is no bzImage');
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const version = view.getUint16(HEADER.version, true);
  if (version < VERSION_MIN) throw badKernel(`its boot protocol is ${version >> 8}.${version & 0xff}, older than 2.12`);
  if ((view.getUint16(HEADER.xloadflags, true) & XLF_KERNEL_64) === 0) throw badKernel('it is no 64-bit kernel');
  if ((view.getUint8(HEADER.loadflags) & LOADED_HIGH) === 0) throw badKernel('it is a zImage, which loads low');
  const setupBytes = ((view.getUint8(HEADER.setup_sects) || 4) + 1) * SECTOR_BYTES;
  if (setupBytes + ENTRY_64 >= file.length) throw badKernel('the bzImage is cut short');
  const code = file.subarray(setupBytes);
  const payloadOffset = view.getUint32(HEADER.payload_offset, true);
  const payloadLength = view.getUint32(HEADER.payload_length, true);
  if (payloadOffset + payloadLength > code.length) throw badKernel('the bzImage is cut short');
  return {
    payload: code.subarray(payloadOffset, payloadOffset + payloadLength),
    selfExtracting: selfExtracting(file, view, code),
    commandLineSize: Math.min(view.getUint32(HEADER.cmdline_size, true), 0xffff) + 1,
    release: release(file, view, setupBytes),
  };
}

function selfExtracting(file: Uint8Array, view: DataView, code: Uint8Array): KernelImage {
  const loadAddress = Number(view.getBigUint64(HEADER.pref_address, true));
  const memoryBytes = Math.max(view.getUint32(HEADER.init_size, true), code.length);
  if (memoryBytes > KERNEL_BYTES_MAX) throw badKernel(`it wants ${memoryBytes} bytes to start in`);
  const headerEnd = Math.min(HEADER.header + (file[HEADER.jump + 1] ?? 0), 0x290);
  return {
    bytes: code,
    loadAddress,
    entry: loadAddress + ENTRY_64,
    memoryBytes: Math.ceil(memoryBytes / 4096) * 4096,
    counted: true,
    setupHeader: file.subarray(HEADER.setup_sects, headerEnd),
  };
}

function release(file: Uint8Array, view: DataView, setupBytes: number): string {
  const at = view.getUint16(HEADER.kernel_version, true) + 0x200;
  if (at === 0x200 || at >= setupBytes) return '';
  const text = String.fromCharCode(...file.subarray(at, Math.min(at + 64, file.length)));
  return /^[\x21-\x7e]*/.exec(text)?.[0] ?? '';
}
