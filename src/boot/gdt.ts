import type { SegmentState } from '../hypervisor/contract.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { BOOT } from './layout.ts';

interface Descriptor {
  /** As in SegmentState.attributes. */
  readonly attributes: number;
  readonly base: number;
  /** 20 bits as stored; counted in pages when the granularity bit is set. */
  readonly limit: number;
}

/** The four descriptors of a 64-bit boot. @spec SDM-3A §3.4.5 */
const GDT = {
  null: { attributes: 0, base: 0, limit: 0 },
  code: { attributes: 0xa09b, base: 0, limit: 0xfffff },
  data: { attributes: 0xc093, base: 0, limit: 0xfffff },
  tss: { attributes: 0x808b, base: 0, limit: 0xfffff },
} as const satisfies Record<string, Descriptor>;

const TABLE: readonly Descriptor[] = [GDT.null, GDT.code, GDT.data, GDT.tss];

export const GDT_REGISTER = { base: BOOT.gdt, limit: TABLE.length * 8 - 1 };
export const IDT_REGISTER = { base: BOOT.idt, limit: 7 };

export const CODE_SEGMENT = segment(1, GDT.code);
export const DATA_SEGMENT = segment(2, GDT.data);
export const TSS_SEGMENT = segment(3, GDT.tss);

/** Writes the boot GDT, and an IDT of one empty gate. */
export function writeDescriptorTables(memory: GuestMemory): void {
  TABLE.forEach((descriptor, index) => {
    memory.writeU64(BOOT.gdt + index * 8, encode(descriptor));
  });
  memory.writeU64(BOOT.idt, 0n);
}

function encode({ attributes, base, limit }: Descriptor): bigint {
  const [a, b, l] = [BigInt(attributes), BigInt(base), BigInt(limit)];
  return (
    (l & 0xffffn) |
    ((b & 0xff_ffffn) << 16n) |
    ((a & 0xf0ffn) << 40n) |
    (((l >> 16n) & 0xfn) << 48n) |
    (((b >> 24n) & 0xffn) << 56n)
  );
}

function segment(index: number, descriptor: Descriptor): SegmentState {
  const pages = (descriptor.attributes & 0x8000) !== 0;
  const limit = pages ? descriptor.limit * 4096 + 4095 : descriptor.limit;
  return { selector: index * 8, base: descriptor.base, limit, attributes: descriptor.attributes };
}
