import { ByteWriter } from './bytes.ts';
import { ATOMIC, LANE, type LaneOp, LOAD, OP, type Op, SIMD, SIMD_MEMORY, type SimdOp, STORE, TRUNC_SAT, type ValType } from './opcodes.ts';

/** A branch target; valid between the opening and the end of its block. */
export interface Label {
  readonly depth: number;
}

/**
 * The body of one WebAssembly function: locals with types, instructions, labels instead of relative depths.
 * Branch hints are collected for the metadata.code.branch_hint section.
 */
export class Code {
  readonly out = new ByteWriter();
  readonly locals: ValType[] = [];
  readonly parameters: number;
  readonly hints: { readonly at: number; readonly likely: boolean }[] = [];
  #depth = 0;
  readonly #free = new Map<ValType, number[]>();

  /** @param parameters number of parameters, which are locals 0.. */
  constructor(parameters: number) {
    this.parameters = parameters;
  }

  /** A new local; freed ones of the same type are used again. */
  local(type: ValType): number {
    const reuse = this.#free.get(type)?.pop();
    if (reuse !== undefined) return reuse;
    this.locals.push(type);
    return this.parameters + this.locals.length - 1;
  }

  /** Gives a local back; its value is undefined for the next owner. */
  free(local: number, type: ValType): void {
    const list = this.#free.get(type);
    if (list === undefined) this.#free.set(type, [local]);
    else list.push(local);
  }

  /** Forgets the instructions so far; locals stay. */
  discard(): void {
    this.out.length = 0;
    this.hints.length = 0;
  }

  op(name: Op): this {
    this.out.u8(OP[name]);
    return this;
  }

  get(local: number): this {
    this.out.u8(0x20).u32(local);
    return this;
  }

  set(local: number): this {
    this.out.u8(0x21).u32(local);
    return this;
  }

  tee(local: number): this {
    this.out.u8(0x22).u32(local);
    return this;
  }

  i32(value: number): this {
    this.out.u8(0x41).s32(value);
    return this;
  }

  i64(value: bigint): this {
    this.out.u8(0x42).s64(value);
    return this;
  }

  f32(bits: number): this {
    this.i32(bits);
    return this.op('f32_reinterpret_i32');
  }

  load(name: keyof typeof LOAD, offset = 0): this {
    this.out.u8(LOAD[name]).u32(0).u32(offset);
    return this;
  }

  store(name: keyof typeof STORE, offset = 0): this {
    this.out.u8(STORE[name]).u32(0).u32(offset);
    return this;
  }

  simd(name: SimdOp): this {
    this.out.u8(0xfd).u32(SIMD[name]);
    return this;
  }

  lane(name: LaneOp, index: number): this {
    this.out.u8(0xfd).u32(LANE[name]).u8(index);
    return this;
  }

  shuffle(lanes: readonly number[]): this {
    this.out.u8(0xfd).u32(13).raw(lanes);
    return this;
  }

  v128(bytes: readonly number[]): this {
    this.out.u8(0xfd).u32(12).raw(bytes);
    return this;
  }

  simdMemory(name: keyof typeof SIMD_MEMORY, offset = 0): this {
    this.out.u8(0xfd).u32(SIMD_MEMORY[name]).u32(0).u32(offset);
    return this;
  }

  truncSat(name: keyof typeof TRUNC_SAT): this {
    this.out.u8(0xfc).u32(TRUNC_SAT[name]);
    return this;
  }

  /** Atomic operation on i64 operands of 8, 16, 32 or 64 bits in memory; the address must be aligned. */
  atomic(name: keyof typeof ATOMIC, bits: 8 | 16 | 32 | 64, offset = 0): this {
    this.out.u8(0xfe).u32(ATOMIC[name][bits]).u32(ALIGN[bits]).u32(offset);
    return this;
  }

  /** memory.copy: destination, source, length. */
  memoryCopy(): this {
    this.out.u8(0xfc).u32(10).u8(0).u8(0);
    return this;
  }

  /** memory.fill: destination, byte, length. */
  memoryFill(): this {
    this.out.u8(0xfc).u32(11).u8(0);
    return this;
  }

  block(type: ValType | 0x40 = 0x40): Label {
    this.out.u8(0x02).u8(type);
    return { depth: ++this.#depth };
  }

  loop(): Label {
    this.out.u8(0x03).u8(0x40);
    return { depth: ++this.#depth };
  }

  /** `likely` becomes a branch hint. */
  if(likely?: boolean, type: ValType | 0x40 = 0x40): Label {
    if (likely !== undefined) this.hints.push({ at: this.out.length, likely });
    this.out.u8(0x04).u8(type);
    return { depth: ++this.#depth };
  }

  else(): this {
    this.out.u8(0x05);
    return this;
  }

  end(): this {
    this.#depth--;
    this.out.u8(0x0b);
    return this;
  }

  br(label: Label): this {
    this.out.u8(0x0c).u32(this.#depth - label.depth);
    return this;
  }

  brIf(label: Label, likely?: boolean): this {
    if (likely !== undefined) this.hints.push({ at: this.out.length, likely });
    this.out.u8(0x0d).u32(this.#depth - label.depth);
    return this;
  }

  brTable(labels: readonly Label[], otherwise: Label): this {
    this.out.u8(0x0e).u32(labels.length);
    for (const label of labels) this.out.u32(this.#depth - label.depth);
    this.out.u32(this.#depth - otherwise.depth);
    return this;
  }

  call(fn: number): this {
    this.out.u8(0x10).u32(fn);
    return this;
  }

  callIndirect(type: number, table = 0): this {
    this.out.u8(0x11).u32(type).u32(table);
    return this;
  }

  returnCall(fn: number): this {
    this.out.u8(0x12).u32(fn);
    return this;
  }

  returnCallIndirect(type: number, table = 0): this {
    this.out.u8(0x13).u32(type).u32(table);
    return this;
  }
}

const ALIGN = { 8: 0, 16: 1, 32: 2, 64: 3 } as const;
