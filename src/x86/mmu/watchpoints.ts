import { S } from '../state/layout.ts';
import type { CpuState } from '../state/state.ts';

/** R/W field of DR7. @spec SDM-3B §17.2.4 */
export const BREAK_ON = { execution: 0, write: 1, io: 2, access: 3 } as const;
/** LEN field of DR7 -> bytes. */
const LENGTHS = [1, 2, 8, 4] as const;
const HIGH = 0x1_0000_0000;

/** Whether breakpoint `i` of a DR7 is enabled for this kind of event, locally or globally. */
export function isBreakpoint(dr7: number, i: number, on: number): boolean {
  return ((dr7 >>> (i * 2)) & 3) !== 0 && ((dr7 >>> (16 + i * 4)) & 3) === on;
}

/** Bytes that breakpoint `i` covers. */
export function lengthOf(dr7: number, i: number): number {
  return LENGTHS[((dr7 >>> (18 + i * 4)) & 3) as 0 | 1 | 2 | 3];
}

/**
 * The data breakpoints of one vCPU. A page that holds one never enters the TLB tables of generated code, so each access to it
 * comes here; all other accesses pay nothing.
 */
export class Watchpoints {
  /** Some data breakpoint is enabled. */
  active = false;

  readonly #state: CpuState;
  #count = 0;
  readonly #bit = new Int32Array(4);
  readonly #low = new Int32Array(4);
  readonly #high = new Int32Array(4);
  readonly #length = new Int32Array(4);
  readonly #writesOnly = new Uint8Array(4);

  constructor(state: CpuState) {
    this.#state = state;
  }

  /** Takes over DR0-DR3 and DR7. */
  update(): void {
    const dr7 = this.#state.get32(S.dr + 7 * 8);
    this.#count = 0;
    for (let i = 0; i < 4; i++) {
      const writesOnly = isBreakpoint(dr7, i, BREAK_ON.write);
      if (!writesOnly && !isBreakpoint(dr7, i, BREAK_ON.access)) continue;
      const length = lengthOf(dr7, i);
      const n = this.#count++;
      this.#bit[n] = 1 << i;
      // The low bits of the address do not count: ranges are aligned. They lie in one page therefore.
      this.#low[n] = this.#state.get32(S.dr + i * 8) & -length;
      this.#high[n] = this.#state.get32(S.dr + i * 8 + 4);
      this.#length[n] = length;
      this.#writesOnly[n] = writesOnly ? 1 : 0;
    }
    this.active = this.#count !== 0;
  }

  /** Whether the page of an address holds a breakpoint. */
  watchesPage(low: number, high: number): boolean {
    for (let n = 0; n < this.#count; n++) if (this.#high[n] === high && ((this.#low[n]! ^ low) & -4096) === 0) return true;
    return false;
  }

  /** DR6.B0-B3 of the breakpoints that an access touches with any byte. */
  match(low: number, high: number, bytes: number, write: boolean): number {
    let bits = 0;
    for (let n = 0; n < this.#count; n++) {
      if (!write && this.#writesOnly[n] === 1) continue;
      const ahead = (this.#high[n]! - high) * HIGH + ((this.#low[n]! >>> 0) - (low >>> 0));
      if (ahead < bytes && ahead > -this.#length[n]!) bits |= this.#bit[n]!;
    }
    return bits;
  }

  /** Notes what an access touches, for the trap after the instruction. */
  note(low: number, high: number, bytes: number, write: boolean): void {
    this.#state.set32(S.breaks, this.#state.get32(S.breaks) | this.match(low, high, bytes, write));
  }
}
