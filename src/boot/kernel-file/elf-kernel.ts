import { alignUp } from '../../base/units.ts';
import type { KernelImage } from '../kernel-image.ts';
import { BOOT, MMIO_WINDOW_START } from '../layout.ts';
import { badKernel, KERNEL_BYTES_MAX } from './limits.ts';

const EM_X86_64 = 62;
const EHDR_SIZE = 64;
const PHDR_SIZE = 56;
const PT_LOAD = 1;
const PT_NOTE = 4;
/** vmlinux has five. */
const SEGMENTS_MAX = 64;
/** Notes of all segments together that are looked at. */
const NOTES_MAX = 256;

/** A note's type where its name is "Xen": the 32-bit physical entry point. @spec PVH */
const XEN_ELFNOTE_PHYS32_ENTRY = 18;

const PAGE_BYTES = 4096;

interface Segment {
  /** Guest-physical. */
  readonly address: number;
  readonly memoryBytes: number;
  readonly bytes: Uint8Array;
}

/** Whether a file begins as an ELF object does. */
export function isElf(file: Uint8Array): boolean {
  return file[0] === 0x7f && file[1] === 0x45 && file[2] === 0x4c && file[3] === 0x46;
}

/**
 * Lays an uncompressed 64-bit kernel out as it is in memory: the loadable segments at their physical addresses.
 *
 * @param options.pvh enter it by its PVH entry point if it has one, else always by the ELF entry
 * @spec ELF "Program Header"   @throws {BootError} ERR_KERNEL_IMAGE
 */
export function elfKernel(file: Uint8Array, { pvh }: { readonly pvh: boolean }): KernelImage {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  checkHeader(file, view);
  const headers = programHeaders(view);
  const segments = headers
    .filter((at) => view.getUint32(at, true) === PT_LOAD)
    .map((at) => segment(file, view, at))
    .filter(({ memoryBytes }) => memoryBytes > 0);
  if (segments.length === 0) throw badKernel('the ELF file has nothing to load');
  const start = Math.min(...segments.map(({ address }) => address));
  const loadAddress = start - (start % PAGE_BYTES);
  const image = new Uint8Array(Math.max(...segments.map(({ address, bytes }) => address + bytes.length)) - loadAddress);
  for (const { address, bytes } of segments) image.set(bytes, address - loadAddress);
  const end = Math.max(...segments.map(({ address, memoryBytes }) => address + memoryBytes));
  const note = pvh ? pvhEntry(file, view, headers) : undefined;
  const entry = note ?? number64(view, 0x18);
  const place = segments.find(({ address, memoryBytes }) => entry >= address && entry < address + memoryBytes);
  if (place === undefined) throw badKernel(`its entry 0x${entry.toString(16)} is outside its segments`);
  return {
    bytes: image,
    loadAddress,
    entry,
    memoryBytes: alignUp(end - loadAddress, PAGE_BYTES),
    counted: true,
    ...(note !== undefined && { protocol: 'pvh' as const }),
  };
}

function checkHeader(file: Uint8Array, view: DataView): void {
  if (file.length < EHDR_SIZE || !isElf(file)) throw badKernel('it is no ELF file');
  if (file[4] !== 2 || file[5] !== 1) throw badKernel('it is not a little-endian 64-bit ELF file');
  const machine = view.getUint16(0x12, true);
  if (machine !== EM_X86_64) throw badKernel(`it is for ELF machine ${machine}, not for x86-64`);
}

/** File offsets of the program headers. */
function programHeaders(view: DataView): number[] {
  const start = number64(view, 0x20);
  const size = view.getUint16(0x36, true);
  const count = view.getUint16(0x38, true);
  if (count > 0 && size !== PHDR_SIZE) throw badKernel(`its program headers have ${size} bytes`);
  if (count > SEGMENTS_MAX) throw badKernel(`it has ${count} segments`);
  if (start + count * PHDR_SIZE > view.byteLength) throw badKernel('the ELF file is cut short');
  return Array.from({ length: count }, (_, index) => start + index * PHDR_SIZE);
}

function segment(file: Uint8Array, view: DataView, at: number): Segment {
  const address = number64(view, at + 0x18); // p_paddr
  const memoryBytes = number64(view, at + 0x28);
  const bytes = contents(file, view, at);
  if (bytes.length > memoryBytes) throw badKernel('a segment has more bytes in the file than in memory');
  if (memoryBytes > 0 && address < BOOT.highMemory) throw badKernel(`a segment is at 0x${address.toString(16)}`);
  // Lower than the window: what is laid out flat must not be gigabytes because two segments are far apart.
  if (address + memoryBytes > Math.min(MMIO_WINDOW_START, 0x100_0000 + KERNEL_BYTES_MAX) && memoryBytes > 0)
    throw badKernel(`a segment of ${memoryBytes} bytes is at 0x${address.toString(16)}`);
  return { address, memoryBytes, bytes };
}

/** The bytes of a segment that are in the file. */
function contents(file: Uint8Array, view: DataView, at: number): Uint8Array {
  const offset = number64(view, at + 8);
  const length = number64(view, at + 0x20);
  if (offset + length > file.length) throw badKernel('the ELF file is cut short');
  return file.subarray(offset, offset + length);
}

/** @spec ELF "Note Section" */
function pvhEntry(file: Uint8Array, view: DataView, headers: readonly number[]): number | undefined {
  let left = NOTES_MAX;
  for (const header of headers) {
    if (view.getUint32(header, true) !== PT_NOTE) continue;
    const bytes = contents(file, view, header);
    const notes = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = 0; at + 12 <= bytes.length && left > 0; left--) {
      const nameBytes = notes.getUint32(at, true);
      const valueBytes = notes.getUint32(at + 4, true);
      const value = at + 12 + alignUp(nameBytes, 4);
      const isXen = nameBytes === 4 && bytes[at + 12] === 0x58 && bytes[at + 13] === 0x65 && bytes[at + 14] === 0x6e;
      const isEntry = isXen && notes.getUint32(at + 8, true) === XEN_ELFNOTE_PHYS32_ENTRY;
      if (isEntry && valueBytes >= 4 && value + 4 <= bytes.length) return notes.getUint32(value, true);
      at = value + alignUp(valueBytes, 4);
    }
  }
  return undefined;
}

/** A 64-bit field that must be an exact double, as it is in every real file. */
function number64(view: DataView, at: number): number {
  const value = view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
  if (!Number.isSafeInteger(value)) throw badKernel(`the ELF file has an offset or address of ${value}`);
  return value;
}
