import type { GuestMemory } from '../memory/guest-memory.ts';
import { BOOT } from './layout.ts';

const PRESENT_WRITABLE = 0x3;
const LARGE_PAGE = 0x80;
const ENTRIES = 512;

/** Where entries may lie: a raw kernel starts at 2 GiB. */
const GIBIBYTES = 4;

/** Identity map of the first 4 GiB in 2 MiB pages. @spec SDM-3A §4.5 */
export function writePageTables(memory: GuestMemory): void {
  memory.writeU64(BOOT.pml4, BigInt(BOOT.pdpt | PRESENT_WRITABLE));
  for (let i = 0; i < GIBIBYTES; i++) {
    memory.writeU64(BOOT.pdpt + i * 8, BigInt((BOOT.pageDirectory + i * 4096) | PRESENT_WRITABLE));
  }
  for (let i = 0; i < GIBIBYTES * ENTRIES; i++) {
    memory.writeU64(BOOT.pageDirectory + i * 8, BigInt(i * 0x20_0000 + (LARGE_PAGE | PRESENT_WRITABLE)));
  }
}
