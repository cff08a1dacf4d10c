import type { Code } from '../../wasm/code.ts';
import { I32, type Op, type ValType } from '../../wasm/opcodes.ts';
import { operation, type Value } from '../ir/value.ts';

/** A value about which more is known than its type. */
export interface JitValue extends Value {
  /** The bits from here up are zero; 64 or absent when nothing is known. */
  readonly width?: number;
  /** Computing it again later in the instruction gives the same, and costs one local.get. */
  readonly stable?: boolean;
  /** i64 made from an i32 by zero extension: that i32. */
  readonly narrow?: Value;
}

/** A guest register as it was when it was read: the register's own local until the register is written. */
export class RegisterValue implements JitValue {
  readonly type: ValType;
  readonly constant = undefined;
  readonly stable = true;
  readonly width: number;
  local: number;

  constructor(local: number, type: ValType, width: number) {
    this.local = local;
    this.type = type;
    this.width = width;
  }

  push(code: Code): void {
    code.get(this.local);
  }
}

/** A local that is assigned once. */
export function stableLocal(local: number, type: ValType, width: number): JitValue {
  return { type, constant: undefined, stable: true, width, push: (code) => void code.get(local) };
}

/** Bits that may be set in a value, from bit 0. */
export function widthOf(value: Value): number {
  if (value.constant !== undefined) return bitLength(value.constant);
  return (value as JitValue).width ?? 64;
}

function bitLength(value: bigint): number {
  return value === 0n ? 0 : value.toString(2).length;
}

/** An operation with what is known of its result; drops conversions and masks that change nothing. */
export function knownOperation(name: Op, args: readonly Value[]): Value {
  const [a, c] = args as readonly [JitValue, JitValue | undefined];
  if (name === 'i32_wrap_i64' && a.narrow !== undefined) return a.narrow;
  if (name === 'i64_and' && c?.constant !== undefined && isLowMask(c.constant) && widthOf(a) <= bitLength(c.constant)) return a;
  if (name === 'i64_eqz' && a.narrow !== undefined) return knownOperation('i32_eqz', [a.narrow]);
  const value = operation(name, args);
  if (value.constant !== undefined || args.includes(value)) return value;
  const width = resultWidth(name, args);
  const narrow = name === 'i64_extend_i32_u' ? a : undefined;
  if (width === undefined && narrow === undefined) return value;
  return {
    type: value.type,
    constant: undefined,
    push: value.push,
    ...(width === undefined ? {} : { width }),
    ...(narrow === undefined ? {} : { narrow }),
  } as JitValue;
}

function isLowMask(mask: bigint): boolean {
  return (mask & (mask + 1n)) === 0n;
}

function resultWidth(name: Op, args: readonly Value[]): number | undefined {
  switch (name) {
    case 'i64_extend_i32_u':
      return Math.min(32, args[0]!.type === I32 ? widthOf(args[0]!) : 32);
    case 'i64_and':
      return Math.min(widthOf(args[0]!), widthOf(args[1]!));
    case 'i64_or':
    case 'i64_xor':
      return Math.max(widthOf(args[0]!), widthOf(args[1]!));
    case 'i64_shr_u': {
      const by = args[1]!.constant;
      return by === undefined ? widthOf(args[0]!) : Math.max(0, widthOf(args[0]!) - Number(by & 63n));
    }
    case 'i64_shl': {
      const by = args[1]!.constant;
      return by === undefined ? undefined : Math.min(64, widthOf(args[0]!) + Number(by & 63n));
    }
    case 'i64_div_u':
      return widthOf(args[0]!);
    case 'i64_rem_u':
      return Math.min(widthOf(args[0]!), widthOf(args[1]!));
    case 'i64_add':
      return Math.min(64, Math.max(widthOf(args[0]!), widthOf(args[1]!)) + 1);
    case 'i64_mul':
      return Math.min(64, widthOf(args[0]!) + widthOf(args[1]!));
    case 'i64_popcnt':
    case 'i64_ctz':
    case 'i64_clz':
      return 7;
    case 'i32_eqz':
    case 'i64_eqz':
    case 'i32_eq':
    case 'i32_ne':
    case 'i64_eq':
    case 'i64_ne':
    case 'i64_lt_s':
    case 'i64_lt_u':
    case 'i32_lt_s':
    case 'i32_lt_u':
    case 'i32_le_s':
    case 'i32_le_u':
    case 'i64_le_s':
    case 'i64_le_u':
    case 'i64_gt_s':
    case 'i64_gt_u':
      return 1;
    default:
      return undefined;
  }
}
