import { ACCESS } from '../mmu/access.ts';
import { GPR, S, SEG } from '../state/layout.ts';
import { GuestException, VECTOR } from './exception.ts';
import { ATTR, type Descriptor, attributesOf, baseOf, is64, limitOf } from './segments.ts';
import type { SystemCpu } from './system-cpu.ts';

/** What a stack access needs to know of SS. */
export interface StackSegment {
  readonly base: bigint;
  readonly limit: number;
  readonly attributes: number;
  /** 64-bit mode: no base, no limit, 64-bit pointer. */
  readonly long: boolean;
}

/**
 * A stack that instructions in TypeScript push to and pop from. The pointer moves here only; the caller stores it
 * into RSP once nothing can fault any more.
 */
export class Stack {
  sp: bigint;
  readonly #cpu: SystemCpu;
  readonly #segment: StackSegment;
  readonly #access: number;
  /** Error code of a #SS that this stack raises: 0, or the selector of a stack being switched to. */
  readonly #errorCode: number;

  constructor(cpu: SystemCpu, segment: StackSegment, sp: bigint, access: number, errorCode = 0) {
    this.#cpu = cpu;
    this.#segment = segment;
    this.#access = access | ACCESS.stack;
    this.#errorCode = errorCode;
    this.sp = sp;
  }

  push(value: bigint, bytes: number): void {
    this.sp = this.#wrap(this.sp - BigInt(bytes));
    const at = this.#linear(this.sp, bytes);
    if (bytes === 8) this.#cpu.mmu.write64(low(at), high(at), this.#access, value);
    else this.#cpu.mmu.write(low(at), high(at), bytes as 2 | 4, this.#access, Number(value & 0xffff_ffffn));
  }

  pop(bytes: number): bigint {
    const value = this.peek(0, bytes);
    this.sp = this.#wrap(this.sp + BigInt(bytes));
    return value;
  }

  /** Reads above the top without moving the pointer. */
  peek(offset: number, bytes: number): bigint {
    const at = this.#linear(this.#wrap(this.sp + BigInt(offset)), bytes);
    if (bytes === 8) return this.#cpu.mmu.read64(low(at), high(at), this.#access);
    return BigInt(this.#cpu.mmu.read(low(at), high(at), bytes as 2 | 4, this.#access));
  }

  skip(bytes: number): void {
    this.sp = this.#wrap(this.sp + BigInt(bytes));
  }

  /** RSP with this stack's pointer in it; a narrower stack leaves the upper bits. */
  store(): void {
    const { state } = this.#cpu;
    state.rsp = this.#segment.long ? this.sp : mergeSp(state.rsp, this.sp, this.#segment.attributes);
  }

  #wrap(sp: bigint): bigint {
    if (this.#segment.long) return BigInt.asUintN(64, sp);
    return BigInt.asUintN(this.#segment.attributes & ATTR.DB ? 32 : 16, sp);
  }

  #linear(sp: bigint, bytes: number): bigint {
    if (this.#segment.long) return sp;
    if (!withinLimit(this.#segment, Number(sp), bytes)) throw new GuestException(VECTOR.SS, this.#errorCode);
    return BigInt.asUintN(32, this.#segment.base + sp);
  }
}

/** The stack in use, at the current privilege. */
export function currentStack(cpu: SystemCpu): Stack {
  const { state } = cpu;
  const long = is64(state);
  const attributes = state.attributes(SEG.SS);
  const segment = { base: state.segBase(SEG.SS), limit: state.limit(SEG.SS), attributes, long };
  const width = long ? 64 : attributes & ATTR.DB ? 32 : 16;
  return new Stack(cpu, segment, BigInt.asUintN(width, state.rsp), cpu.mmu.privilege());
}

/** SS from a descriptor that was checked. */
export function stackSegmentOf(d: Descriptor): StackSegment {
  return { base: BigInt(baseOf(d)), limit: limitOf(d), attributes: attributesOf(d), long: false };
}

/** @spec SDM-3A §5.3 */
export function withinLimit(segment: { limit: number; attributes: number }, offset: number, bytes: number): boolean {
  const expandDown = (segment.attributes & (ATTR.code | ATTR.expandDown)) === ATTR.expandDown;
  if (!expandDown) return offset + bytes - 1 <= segment.limit;
  const top = segment.attributes & ATTR.DB ? 0xffff_ffff : 0xffff;
  return offset > segment.limit && offset + bytes - 1 <= top;
}

function mergeSp(old: bigint, sp: bigint, attributes: number): bigint {
  // A 32-bit stack pointer clears the upper half like any 32-bit register write.
  return attributes & ATTR.DB ? sp : (old & ~0xffffn) | sp;
}

/** Sets RSP from halves. */
export function setRsp(cpu: SystemCpu, lowHalf: number, highHalf: number): void {
  cpu.state.set32(S.gpr + GPR.RSP * 8, lowHalf);
  cpu.state.set32(S.gpr + GPR.RSP * 8 + 4, highHalf);
}

export function low(value: bigint): number {
  return Number(BigInt.asIntN(32, value));
}

export function high(value: bigint): number {
  return Number(BigInt.asIntN(32, value >> 32n));
}
