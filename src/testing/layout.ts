/**
 * Where a single-instruction case lives in the address space, shared by the recorder on silicon, the recorded
 * vectors and every executor. All of it lies in one 2 MiB range, so one page-table page maps the whole case.
 *
 *     page                     access (user)    content outside the windows and the instruction
 *     0x1000_0000 low          read, write      zero
 *     0x1000_1000 high         read, write      zero
 *     0x1000_2000 hole         none             -            every access is #PF, not present
 *     0x1000_3000 readOnly     read             zero         a write is #PF, present
 *     0x1001_0000 code         read, execute    0xcc (INT3)
 */
export const LAYOUT = {
  /** Pages, by linear address. */
  lowPage: 0x1000_0000,
  highPage: 0x1000_1000,
  holePage: 0x1000_2000,
  readOnlyPage: 0x1000_3000,
  codePage: 0x1001_0000,
  /** The instruction stands in the middle of the code page so that branches can go both ways. */
  instruction: 0x1001_0800,
} as const;

/** One stretch of compared memory: `length` bytes at linear `address`, kept at `offset` of `CpuState.memory`. */
export interface MemoryWindow {
  readonly name: string;
  readonly address: number;
  readonly length: number;
  readonly offset: number;
}

/** What `CpuState.memory` holds: around a page boundary, before the hole, and in the read-only page. */
export const MEMORY_WINDOWS: readonly MemoryWindow[] = [
  { name: 'span', address: LAYOUT.highPage - 320, length: 640, offset: 0 },
  { name: 'edge', address: LAYOUT.holePage - 128, length: 128, offset: 640 },
  { name: 'readOnly', address: LAYOUT.readOnlyPage + 256, length: 64, offset: 768 },
];

/** Total bytes of `CpuState.memory`. */
export const MEMORY_BYTES = 832;

/** Linear address of byte `offset` of `CpuState.memory`. */
export function addressOfMemoryByte(offset: number): number {
  const window = MEMORY_WINDOWS.find((w) => offset >= w.offset && offset < w.offset + w.length);
  if (window === undefined) throw new RangeError(`Cannot place memory byte: offset ${offset} of ${MEMORY_BYTES}`);
  return window.address + offset - window.offset;
}
