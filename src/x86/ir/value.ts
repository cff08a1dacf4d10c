import type { Code } from '../../wasm/code.ts';
import { F32, F64, I32, I64, OP, type Op, type SimdOp, V128, type ValType } from '../../wasm/opcodes.ts';

/**
 * A pure expression over locals that do not change: it can be pushed any number of times, each time computing the same.
 * Use Emitter.let when it is used more than once.
 */
export interface Value {
  readonly type: ValType;
  /** The value, if known while emitting: unsigned, below 2**32 or 2**64. */
  readonly constant: bigint | undefined;
  push(code: Code): void;
}

export function constant64(value: bigint): Value {
  const bits = BigInt.asUintN(64, value);
  return { type: I64, constant: bits, push: (code) => void code.i64(BigInt.asIntN(64, bits)) };
}

export function constant32(value: number): Value {
  return { type: I32, constant: BigInt(value >>> 0), push: (code) => void code.i32(value | 0) };
}

export function localValue(local: number, type: ValType): Value {
  return { type, constant: undefined, push: (code) => void code.get(local) };
}

export function expression(type: ValType, push: (code: Code) => void): Value {
  return { type, constant: undefined, push };
}

/** A scalar operation; folds when all arguments are constants. */
export function operation(name: Op, args: readonly Value[]): Value {
  const folded = foldOperation(name, args);
  if (folded !== undefined) return folded;
  return expression(resultType(name), (code) => {
    for (const arg of args) arg.push(code);
    code.op(name);
  });
}

export function simdOperation(name: SimdOp, args: readonly Value[]): Value {
  return expression(simdResultType(name), (code) => {
    for (const arg of args) arg.push(code);
    code.simd(name);
  });
}

/** The type of what an operation gives. */
export function resultType(name: Op): ValType {
  const cached = RESULT.get(name);
  if (cached !== undefined) return cached;
  const type = computeResultType(name);
  RESULT.set(name, type);
  return type;
}

const RESULT = new Map<Op, ValType>();

function computeResultType(name: Op): ValType {
  const code = OP[name];
  if (code >= OP.i32_eqz && code <= OP.f64_ge) return I32;
  if (name.startsWith('i32')) return I32;
  if (name.startsWith('i64')) return I64;
  if (name.startsWith('f32')) return F32;
  return F64;
}

function simdResultType(name: SimdOp): ValType {
  return name.endsWith('bitmask') || name.endsWith('_true') ? I32 : V128;
}

/** The result of an operation that is known while emitting: a constant, or one of the arguments. */
export function foldOperation(name: Op, args: readonly Value[]): Value | undefined {
  const a = args[0]?.constant;
  const b = args[1]?.constant;
  if (args.length === 2 && b === 0n && IDENTITY_ZERO.has(name)) return args[0];
  if (args.length === 2 && a === 0n && COMMUTATIVE_ZERO.has(name)) return args[1];
  if (a === undefined || (args.length === 2 && b === undefined)) return undefined;
  const known = FOLDS[name as keyof typeof FOLDS];
  if (known === undefined) return undefined;
  const value = known(a, b ?? 0n);
  return resultType(name) === I64 ? constant64(value) : constant32(Number(BigInt.asIntN(32, value)));
}

const IDENTITY_ZERO = new Set<Op>([
  'i64_add',
  'i64_sub',
  'i64_or',
  'i64_xor',
  'i64_shl',
  'i64_shr_u',
  'i64_shr_s',
  'i32_add',
  'i32_sub',
  'i32_or',
  'i32_xor',
  'i32_shl',
]);
const COMMUTATIVE_ZERO = new Set<Op>(['i64_add', 'i64_or', 'i64_xor', 'i32_add', 'i32_or', 'i32_xor']);

const signed = (x: bigint): bigint => BigInt.asIntN(64, x);
const FOLDS: Partial<Record<Op, (a: bigint, b: bigint) => bigint>> = {
  i64_add: (a, b) => a + b,
  i64_sub: (a, b) => a - b,
  i64_and: (a, b) => a & b,
  i64_or: (a, b) => a | b,
  i64_xor: (a, b) => a ^ b,
  i64_shl: (a, b) => a << (b & 63n),
  i64_shr_u: (a, b) => a >> (b & 63n),
  i64_shr_s: (a, b) => signed(a) >> (b & 63n),
  i64_mul: (a, b) => a * b,
  i64_eq: (a, b) => (a === b ? 1n : 0n),
  i64_ne: (a, b) => (a !== b ? 1n : 0n),
  i64_eqz: (a) => (a === 0n ? 1n : 0n),
  i64_extend8_s: (a) => BigInt.asIntN(8, a),
  i64_extend16_s: (a) => BigInt.asIntN(16, a),
  i64_extend32_s: (a) => BigInt.asIntN(32, a),
  i32_wrap_i64: (a) => a,
  i64_extend_i32_u: (a) => a,
  i64_extend_i32_s: (a) => BigInt.asIntN(32, a),
  i32_add: (a, b) => a + b,
  i32_sub: (a, b) => a - b,
  i32_and: (a, b) => a & b,
  i32_or: (a, b) => a | b,
  i32_eqz: (a) => (a === 0n ? 1n : 0n),
  i32_eq: (a, b) => (a === b ? 1n : 0n),
  i32_ne: (a, b) => (a !== b ? 1n : 0n),
};
