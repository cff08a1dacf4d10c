import { Code } from '../../wasm/code.ts';
import { I64 } from '../../wasm/opcodes.ts';
import { S } from '../state/layout.ts';

/**
 * Flags that are kept as what they are computed from: kind 0 are the canonical zr, sp, cv; the others are
 * 1 + operation * 4 + log2(bytes), with one value in the place of zr and one in that of cv.
 *
 * sub, add: result and second operand; cmp: both operands; logic: result; result: result, and CF + 2 OF; dec, inc: result, and
 * the CF that stays.
 */
export const FLAG_KIND = { sub: 0, add: 1, logic: 2, result: 3, dec: 4, inc: 5, cmp: 6 } as const;

export function flagKind(operation: keyof typeof FLAG_KIND, bits: number): number {
  return 1 + FLAG_KIND[operation] * 4 + Math.log2(bits / 8);
}

const [KIND, R, SP, C] = [0, 1, 2, 3] as const;

/** The function (kind, zr, sp, cv) that writes such flags to the CPU state, for the cold ways out of compiled code. */
export function storeFlagsBody(): Code {
  const code = new Code(4);
  const [shift, carries, one, a] = [code.local(I64), code.local(I64), code.local(I64), code.local(I64)];
  const store = (offset: number, local: number): void => void code.i32(0).get(local).store('i64_store', offset);
  code.get(KIND).op('i32_eqz').if();
  store(S.zr, R);
  store(S.sp, SP);
  store(S.cv, C);
  code.op('return').end();
  code.get(KIND).i32(1).op('i32_sub').set(KIND);
  code.i64(64n).i64(8n).get(KIND).i32(3).op('i32_and').op('i64_extend_i32_u').op('i64_shl').op('i64_sub').set(shift);
  code.get(KIND).i32(2).op('i32_shr_u').set(KIND);
  const is = (operation: keyof typeof FLAG_KIND): Code => code.get(KIND).i32(FLAG_KIND[operation]).op('i32_eq');
  const narrow = (local: number): Code => code.get(shift).op('i64_shl').get(shift).op('i64_shr_u').set(local);
  is('cmp').if();
  code.get(R).set(a).get(R).get(C).op('i64_sub');
  narrow(R).i32(FLAG_KIND.sub).set(KIND).else();
  // The second operand of INC and DEC is 1; what came in its place is CF.
  code.get(C).set(one).get(KIND).i32(FLAG_KIND.dec).op('i32_ge_u').if();
  code.i64(1n).set(C).end();
  is('sub');
  is('dec').op('i32_or').if();
  code.get(R).get(C).op('i64_add');
  narrow(a).else().get(R).get(C).op('i64_sub');
  narrow(a).end().end();
  store(S.zr, R);
  code.i32(0).get(R).get(shift).op('i64_shl').get(shift).op('i64_shr_s').store('i64_store', S.sp);
  is('result').if();
  // CV has CF in bit 63 and CF xor OF in bit 62.
  code.i32(0).get(C).i64(63n).op('i64_shl').get(C).get(C).i64(1n).op('i64_shr_u').op('i64_xor').i64(1n).op('i64_and').i64(62n).op('i64_shl').op('i64_or');
  code.store('i64_store', S.cv).op('return').end();
  is('logic').if();
  code.i32(0).i64(0n).store('i64_store', S.cv).op('return').end();
  is('sub');
  is('dec').op('i32_or').if();
  const not = (local: number): Code => code.get(local).i64(-1n).op('i64_xor');
  not(a).get(C).op('i64_and');
  not(a).get(C).op('i64_or').get(R).op('i64_and').op('i64_or').set(carries);
  code.else();
  code.get(a).get(C).op('i64_and').get(a).get(C).op('i64_or');
  not(R).op('i64_and').op('i64_or').set(carries).end();
  code.get(carries).get(shift).op('i64_shl').get(carries).i64(8n).op('i64_and').op('i64_or').set(carries);
  code.get(KIND).i32(FLAG_KIND.dec).op('i32_ge_u').if();
  // OF stays what the operation says, next to the CF of before.
  code.get(carries).get(carries).i64(1n).op('i64_shl').op('i64_xor').i64(63n).op('i64_shr_u').get(one).op('i64_xor').i64(62n).op('i64_shl');
  code.get(one).i64(63n).op('i64_shl').op('i64_or').get(carries).i64(8n).op('i64_and').op('i64_or').set(carries).end();
  store(S.cv, carries);
  return code;
}
