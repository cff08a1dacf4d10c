import type { Code } from '../../wasm/code.ts';
import type { Op, ValType } from '../../wasm/opcodes.ts';
import { foldOperation, resultType, type Value } from '../ir/value.ts';
import { type Affine, affineConstant, affineOperation } from './address-groups.ts';

/** A value about which more is known than its type. */
export interface JitValue extends Value {
  /** The bits from here up are zero; 64 or absent when nothing is known. */
  readonly width?: number;
  /** Computing it again later in the instruction gives the same, and costs one local.get. */
  readonly stable?: boolean;
  /** The local that it is read from. */
  readonly local?: number;
  /** It is the lowest lane of a vector, of so many bits. */
  readonly lane?: Lane;
  /** The same as a sum. */
  readonly affine?: Affine | undefined;
  /** It is the low bits of a register. */
  readonly part?: { readonly whole: RegisterValue; readonly bits: number };
}

export interface Lane {
  readonly vector: Value;
  readonly bits: number;
}

/** A guest register as it was when it was read: the register's own local until the register is written. */
export class RegisterValue implements JitValue {
  readonly type: ValType;
  readonly constant = undefined;
  readonly stable = true;
  readonly width: number;
  readonly affine: Affine | undefined;
  local: number;

  constructor(local: number, type: ValType, width: number, affine: Affine | undefined) {
    this.affine = affine;
    this.local = local;
    this.type = type;
    this.width = width;
  }

  push(code: Code): void {
    code.get(this.local);
  }
}

/** A local that is assigned once. */
export function stableLocal(local: number, type: ValType, width: number, affine?: Affine): JitValue {
  return { type, affine, constant: undefined, stable: true, width, local, push: (code) => void code.get(local) };
}

/** An operation on values; what is known of its result is found out when somebody asks. */
class OperationValue implements JitValue {
  readonly type: ValType;
  readonly constant = undefined;
  readonly name: Op;
  readonly args: readonly Value[];
  #width = -1;

  constructor(type: ValType, name: Op, args: readonly Value[]) {
    this.type = type;
    this.name = name;
    this.args = args;
  }

  get affine(): Affine | undefined {
    return affineOperation(this.name, this.args, affineOf);
  }

  get width(): number {
    if (this.#width < 0) this.#width = resultWidth(this.name, this.args);
    return this.#width;
  }

  push(code: Code): void {
    for (const arg of this.args) arg.push(code);
    code.op(this.name);
  }
}

/** The lane that a value is, zero-extended or as its low half. */
export function laneOf(value: Value): Lane | undefined {
  if (value instanceof OperationValue && (value.name === 'i32_wrap_i64' || value.name === 'i64_extend_i32_u')) {
    const lane = laneOf(value.args[0]!);
    return lane?.bits === 32 ? lane : undefined;
  }
  return (value as JitValue).lane;
}

/** A value as a sum, if it is one. */
export function affineOf(value: Value): Affine | undefined {
  return value.constant === undefined ? (value as JitValue).affine : affineConstant(value);
}

/** Bits that may be set in a value, from bit 0. */
export function widthOf(value: Value): number {
  if (value.constant !== undefined) return bitLength(value.constant);
  return (value as JitValue).width ?? 64;
}

function bitLength(value: bigint): number {
  if (value <= 0xffff_ffffn) return 32 - Math.clz32(Number(value));
  return 64 - Math.clz32(Number(value >> 32n));
}

/** An operation with what is known of its result; drops conversions and masks that change nothing. */
export function knownOperation(name: Op, args: readonly Value[]): Value {
  const a = args[0]!;
  if (name === 'i32_wrap_i64') {
    const half = lowHalf(a);
    if (half !== undefined) return half;
  } else if (name === 'i64_and') {
    const mask = args[1]!.constant;
    if (mask !== undefined && isLowMask(mask) && widthOf(a) <= bitLength(mask)) return a;
  } else if (name === 'i64_eqz' && isExtension(a)) return knownOperation('i32_eqz', a.args);
  const folded = foldOperation(name, args);
  return folded ?? new OperationValue(resultType(name), name, args);
}

function isExtension(value: Value): value is OperationValue {
  return value instanceof OperationValue && value.name === 'i64_extend_i32_u';
}

/** Operations whose low 32 bits depend only on the low 32 bits of their operands; shifts under conditions. */
const HALVES: ReadonlyMap<Op, Op> = new Map([
  ['i64_add', 'i32_add'],
  ['i64_sub', 'i32_sub'],
  ['i64_mul', 'i32_mul'],
  ['i64_and', 'i32_and'],
  ['i64_or', 'i32_or'],
  ['i64_xor', 'i32_xor'],
  ['i64_shl', 'i32_shl'],
  ['i64_shr_u', 'i32_shr_u'],
]);

/** The low half of a value as an operation on low halves: V8 keeps chains of 32-bit operations free of conversions. */
function lowHalf(value: Value): Value | undefined {
  if (!(value instanceof OperationValue)) return undefined;
  const { name, args } = value;
  if (name === 'i64_extend_i32_u') return args[0]!;
  const narrow = HALVES.get(name);
  if (narrow === undefined) return undefined;
  const [a, c] = args as readonly [Value, Value];
  if (name === 'i64_shl' || name === 'i64_shr_u') {
    if (c.constant === undefined || c.constant > 31n) return undefined;
    if (name === 'i64_shr_u' && widthOf(a) > 32) return undefined;
  }
  return knownOperation(narrow, [knownOperation('i32_wrap_i64', [a]), knownOperation('i32_wrap_i64', [c])]);
}

function isLowMask(mask: bigint): boolean {
  return (mask & (mask + 1n)) === 0n;
}

function resultWidth(name: Op, args: readonly Value[]): number {
  const a = args[0]!;
  switch (name) {
    case 'i64_extend_i32_u':
      return Math.min(32, widthOf(a));
    case 'i64_and':
      return Math.min(widthOf(a), widthOf(args[1]!));
    case 'i64_or':
    case 'i64_xor':
      return Math.max(widthOf(a), widthOf(args[1]!));
    case 'i64_shr_u': {
      const by = args[1]!.constant;
      return by === undefined ? widthOf(a) : Math.max(0, widthOf(a) - Number(by & 63n));
    }
    case 'i64_shl': {
      const by = args[1]!.constant;
      return by === undefined ? 64 : Math.min(64, widthOf(a) + Number(by & 63n));
    }
    case 'i64_div_u':
      return widthOf(a);
    case 'i64_rem_u':
      return Math.min(widthOf(a), widthOf(args[1]!));
    case 'i64_add':
      return Math.min(64, Math.max(widthOf(a), widthOf(args[1]!)) + 1);
    case 'i64_mul':
      return Math.min(64, widthOf(a) + widthOf(args[1]!));
    case 'i64_popcnt':
    case 'i64_ctz':
    case 'i64_clz':
      return 7;
    default:
      return BOOLEANS.test(name) ? 1 : 64;
  }
}

/** Comparisons. */
const BOOLEANS = /_(eqz|eq|ne|[lg][te](_[su])?)$/;
