import { S } from '../state/layout.ts';
import type { CpuState } from '../state/state.ts';
import { FLAG } from '../state/state.ts';
import { VECTOR } from '../system/exception.ts';
import * as A from './access.ts';
import { ACCESS, PF } from './access.ts';

/** Page-table entry bits, low half. @spec SDM-3A §4.5 table 4-20 */
const PTE = { P: 1, RW: 2, US: 4, A: 0x20, D: 0x40, PS: 0x80, G: 0x100 } as const;

/** Bits 51:MAXPHYADDR, in the high half of an entry. */
const RESERVED_HIGH = 0x000f_ffff & ~((1 << (A.PHYSICAL_BITS - 32)) - 1);
const NX = 0x8000_0000 | 0;
/** PAE entries have no ignored bits 62:52. */
const RESERVED_PAE = 0x7ff0_0000 | RESERVED_HIGH;
const NOT_PRESENT = -1;
const RESERVED = -2;
const HIGH = 0x1_0000_0000;

/** Where RAM lies in the engine's memory. */
export interface Ram {
  readonly buffer: ArrayBufferLike;
  /** Host offset of guest-physical address 0. */
  readonly base: number;
  readonly bytes: number;
}

/**
 * Linear to physical translation through the guest's page tables. Runs on each TLB miss: 32-bit halves, no allocation.
 * @spec SDM-3A §4.3 to §4.7
 */
export class PageWalker {
  /** Set when walk() returned -1. */
  faultVector = 0;
  faultCode = 0;
  faultLow = 0;
  faultHigh = 0;
  /** About the page that the last successful walk found. */
  leafGlobal = false;
  leafDirty = false;
  /** The current privilege may write it (whether or not this access did). */
  leafWritable = false;
  /** 0: 4 KiB, 1: 2 or 4 MiB, 2: 1 GiB. */
  leafSize = 0;
  /** 0: no paging; 2, 3, 4: levels of tables. */
  levels = 0;
  smap = false;

  readonly #i32: Int32Array;
  readonly #memory: Int32Array;
  readonly #base: number;
  readonly #ramBytes: number;
  readonly #path = new Int32Array(4);
  #depth = 0;
  #rights = 0;
  #nx = 0;
  #leaf = 0;
  #wp = false;
  #smep = false;
  /** EFER.NXE under PAE paging: bit 63 of an entry is NX, not reserved. */
  nxe = false;
  #pse = false;
  #pge = false;
  #reservedHigh = 0;
  #topStart = HIGH;
  #topShift = 0;

  constructor(ram: Ram, state: CpuState) {
    this.#i32 = state.i32;
    this.#memory = new Int32Array(ram.buffer as ArrayBuffer, 0, ram.buffer.byteLength >>> 2);
    this.#base = ram.base;
    this.#ramBytes = ram.bytes;
  }

  /** Call after a change of CR0, CR4 or EFER. */
  updateMode(): void {
    const cr0 = this.#i32[S.cr0 >> 2]!;
    const cr4 = this.#i32[S.cr4 >> 2]!;
    const efer = this.#i32[S.efer >> 2]!;
    const long = (efer & A.EFER_LMA) !== 0;
    this.levels = (cr0 & A.CR0_PG) === 0 ? 0 : (cr4 & A.CR4_PAE) === 0 ? 2 : long ? 4 : 3;
    this.#wp = (cr0 & A.CR0_WP) !== 0;
    this.#pse = (cr4 & A.CR4_PSE) !== 0;
    this.#pge = (cr4 & A.CR4_PGE) !== 0;
    this.#smep = (cr4 & A.CR4_SMEP) !== 0;
    this.smap = (cr4 & A.CR4_SMAP) !== 0;
    this.nxe = (efer & A.EFER_NXE) !== 0 && this.levels > 2;
    this.#reservedHigh = (long ? RESERVED_HIGH : RESERVED_PAE) | (this.nxe ? 0 : NX);
  }

  /**
   * Translates one byte's address.
   * @param access bits of ACCESS
   * @returns the physical address, or -1 with the fault* fields set
   */
  walk(low: number, high: number, access: number): number {
    if (this.levels === 0) return this.#folded(this.#unpaged(low));
    if (this.levels === 4 && (high << 16) >> 16 !== high) return this.#nonCanonical(low, high, access);
    this.#depth = 0;
    this.#rights = PTE.RW | PTE.US;
    this.#nx = 0;
    const physical = this.levels === 2 ? this.#walk32(low) : this.#walk64(low, high);
    if (physical < 0) return this.#fault(low, high, access, physical === RESERVED ? PF.P | PF.RSVD : 0);
    if (!this.#allowed(access)) return this.#fault(low, high, access, PF.P);
    this.#setAccessed((access & ACCESS.write) !== 0);
    this.leafGlobal = this.#pge && (this.#leaf & PTE.G) !== 0;
    return this.#folded(physical);
  }

  /** Physical addresses from `start` to 4 GiB mean RAM from `ram` on: firmware is there, and RAM is one piece. */
  setTop(start: number, ram: number): void {
    this.#topStart = start;
    this.#topShift = start - ram;
  }

  #folded(physical: number): number {
    return physical >= this.#topStart && physical < HIGH ? physical - this.#topShift : physical;
  }

  /** Paging off: linear addresses are physical and 32 bits wide. */
  #unpaged(low: number): number {
    this.leafGlobal = false;
    this.leafDirty = true;
    this.leafWritable = true;
    this.leafSize = 0;
    return low >>> 0;
  }

  #walk64(low: number, high: number): number {
    let level = this.levels;
    let table = this.#tableBase(this.#i32[S.cr3 >> 2]!, this.#i32[(S.cr3 >> 2) + 1]!);
    if (level === 3) {
      table = this.#pointerTable(low);
      if (table < 0) return table;
      level = 2;
    }
    for (; ; level--) {
      const at = this.#entryAt(table + indexAt(level, low, high) * 8);
      const entryLow = at < 0 ? -1 : this.#memory[at]!;
      const entryHigh = at < 0 ? -1 : this.#memory[at + 1]!;
      if ((entryLow & PTE.P) === 0) return NOT_PRESENT;
      if ((entryHigh & this.#reservedHigh) !== 0) return RESERVED;
      this.#path[this.#depth++] = at;
      this.#rights &= entryLow;
      this.#nx |= entryHigh;
      this.#leaf = entryLow;
      const frame = (entryHigh & 0xfffff) * HIGH;
      if (level === 1) {
        this.leafSize = 0;
        return frame + (((entryLow & -4096) | (low & 0xfff)) >>> 0);
      }
      if ((entryLow & PTE.PS) !== 0) return this.#largePage(level, frame, entryLow, low);
      table = frame + ((entryLow & -4096) >>> 0);
    }
  }

  #largePage(level: number, frame: number, entryLow: number, low: number): number {
    if (level === 4) return RESERVED;
    const offsetMask = level === 3 ? 0x3fff_ffff : 0x1f_ffff;
    // Bit 12 is PAT; the rest of the offset's bits must be zero.
    if ((entryLow & offsetMask & ~0x1fff) !== 0) return RESERVED;
    this.leafSize = level - 1;
    return frame + (((entryLow & ~offsetMask) | (low & offsetMask)) >>> 0);
  }

  /** PAE's four top entries carry no permissions and no accessed bit. @spec SDM-3A §4.4.1 */
  #pointerTable(low: number): number {
    const at = this.#entryAt(((this.#i32[S.cr3 >> 2]! & -32) >>> 0) + (low >>> 30) * 8);
    const entryLow = at < 0 ? -1 : this.#memory[at]!;
    const entryHigh = at < 0 ? -1 : this.#memory[at + 1]!;
    if ((entryLow & PTE.P) === 0) return NOT_PRESENT;
    if ((entryLow & 0x1e6) !== 0 || (entryHigh & (RESERVED_PAE | NX)) !== 0) return RESERVED;
    return this.#tableBase(entryLow, entryHigh);
  }

  /** @spec SDM-3A §4.3 */
  #walk32(low: number): number {
    const directory = (this.#i32[S.cr3 >> 2]! & -4096) >>> 0;
    const at = this.#entryAt(directory + (low >>> 22) * 4);
    const pde = at < 0 ? -1 : this.#memory[at]!;
    if ((pde & PTE.P) === 0) return NOT_PRESENT;
    this.#path[this.#depth++] = at;
    this.#rights &= pde;
    this.#leaf = pde;
    if (this.#pse && (pde & PTE.PS) !== 0) {
      if ((pde & 0x20_0000) !== 0) return RESERVED;
      this.leafSize = 1;
      return ((pde >>> 13) & 0xff) * HIGH + (((pde & 0xffc0_0000) | (low & 0x3f_ffff)) >>> 0);
    }
    const entry = this.#entryAt(((pde & -4096) >>> 0) + ((low >>> 12) & 0x3ff) * 4);
    const pte = entry < 0 ? -1 : this.#memory[entry]!;
    if ((pte & PTE.P) === 0) return NOT_PRESENT;
    this.#path[this.#depth++] = entry;
    this.#rights &= pte;
    this.#leaf = pte;
    this.leafSize = 0;
    return ((pte & -4096) | (low & 0xfff)) >>> 0;
  }

  #tableBase(low: number, high: number): number {
    return (high & 0xfffff) * HIGH + ((low & -4096) >>> 0);
  }

  /** Index of an entry in 32-bit words; -1 outside RAM, where reads give all ones. */
  #entryAt(physical: number): number {
    const inRam = this.#folded(physical);
    return inRam + 4 <= this.#ramBytes ? (this.#base + inRam) >>> 2 : -1;
  }

  /** @spec SDM-3A §4.6.1 */
  #allowed(access: number): boolean {
    const userPage = (this.#rights & PTE.US) !== 0;
    const isUser = (access & (ACCESS.user | ACCESS.implicit)) === ACCESS.user;
    this.leafWritable = (this.#rights & PTE.RW) !== 0 || (!isUser && !this.#wp);
    if (isUser && !userPage) return false;
    if ((access & ACCESS.fetch) !== 0) {
      if (this.nxe && this.#nx < 0) return false;
      return isUser || !userPage || !this.#smep;
    }
    if (!isUser && userPage && this.smap && !this.#overridesSmap(access)) return false;
    return (access & ACCESS.write) === 0 || this.leafWritable;
  }

  #overridesSmap(access: number): boolean {
    return (access & ACCESS.implicit) === 0 && (this.#i32[S.flags >> 2]! & FLAG.AC) !== 0;
  }

  /** Atomic because another vCPU, or the guest on it, may change the same entry. */
  #setAccessed(write: boolean): void {
    const last = this.#depth - 1;
    for (let level = 0; level <= last; level++) {
      const at = this.#path[level]!;
      if (at < 0) continue; // the table lies outside RAM: nothing keeps the bits
      const bits = level === last && write ? PTE.A | PTE.D : PTE.A;
      if ((this.#memory[at]! & bits) !== bits) Atomics.or(this.#memory, at, bits);
    }
    this.leafDirty = write || (this.#leaf & PTE.D) !== 0;
  }

  #fault(low: number, high: number, access: number, cause: number): number {
    let code = cause;
    if ((access & ACCESS.write) !== 0) code |= PF.W;
    if ((access & (ACCESS.user | ACCESS.implicit)) === ACCESS.user) code |= PF.U;
    if ((access & ACCESS.fetch) !== 0 && (this.nxe || this.#smep)) code |= PF.I;
    this.faultVector = VECTOR.PF;
    this.faultCode = code;
    this.faultLow = low;
    this.faultHigh = high;
    return -1;
  }

  #nonCanonical(low: number, high: number, access: number): number {
    this.faultVector = (access & ACCESS.stack) !== 0 ? VECTOR.SS : VECTOR.GP;
    this.faultCode = 0;
    this.faultLow = low;
    this.faultHigh = high;
    return -1;
  }
}

/** Index into the table of a level, 4 = PML4. */
function indexAt(level: number, low: number, high: number): number {
  if (level === 1) return (low >>> 12) & 0x1ff;
  if (level === 2) return (low >>> 21) & 0x1ff;
  if (level === 3) return ((high & 0x7f) << 2) | (low >>> 30);
  return (high >>> 7) & 0x1ff;
}
