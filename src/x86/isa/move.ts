import { CONDITIONS, type Emitter, type Operand } from '../ir/emitter.ts';
import { hex } from './alu.ts';
import { type Definition, instruction } from './definition.ts';

function mov(_b: Emitter, dst: Operand, src: Operand): void {
  dst.write(src.read());
}

function xchg(b: Emitter, dst: Operand, src: Operand): void {
  b.lock = true; // a memory operand is locked with or without the prefix
  const incoming = src.read();
  const { old } = dst.update(() => incoming);
  src.write(old);
}

function movsx(b: Emitter, dst: Operand, src: Operand): void {
  dst.write(b.zext(b.sext(src.read(), src.bits), dst.bits));
}

function lea(b: Emitter, dst: Operand, src: Operand): void {
  dst.write(b.zext(b.let(src.effectiveAddress()), dst.bits));
}

function cmovs(): Definition[] {
  return CONDITIONS.map((condition, i) =>
    instruction({
      name: `CMOV${condition.toUpperCase()}`,
      opcode: `0F ${hex(0x40 + i)}`,
      operands: ['Gv', 'Ev'],
      // The source is read, and a 32-bit destination cleared above, whether the condition holds or not.
      semantics: (b, dst, src) => {
        const incoming = src.read();
        const old = dst.read();
        dst.write(b.select(b.condition(condition), incoming, old));
      },
    }),
  );
}

function setccs(): Definition[] {
  return CONDITIONS.map((condition, i) =>
    instruction({
      name: `SET${condition.toUpperCase()}`,
      opcode: `0F ${hex(0x90 + i)} /r`,
      operands: ['Eb'],
      semantics: (b, dst) => dst.write(b.bool(b.condition(condition))),
    }),
  );
}

function bswap(b: Emitter, dst: Operand): void {
  const v = dst.read();
  dst.write(byteSwap(b, v, dst.bits));
}

/** Reverses the bytes of a zero-extended value; 16-bit BSWAP is undefined and gives 0 on hardware. */
export function byteSwap(b: Emitter, v: ReturnType<Operand['read']>, bits: number): ReturnType<Operand['read']> {
  if (bits === 16) return b.or(b.shl(b.and(v, b.const(0xff)), b.const(8)), b.shr(v, b.const(8)));
  const m8 = b.const(0x00ff_00ff_00ff_00ffn);
  const m16 = b.const(0x0000_ffff_0000_ffffn);
  const bytes = b.let(b.or(b.shl(b.and(v, m8), b.const(8)), b.and(b.shr(v, b.const(8)), m8)));
  const words = b.let(b.or(b.shl(b.and(bytes, m16), b.const(16)), b.and(b.shr(bytes, b.const(16)), m16)));
  const swapped = b.op('i64_rotl', words, b.const(32));
  return bits === 64 ? swapped : b.shr(swapped, b.const(32));
}

/** CBW CWDE CDQE: the lower half of rAX extended into all of it. */
function cbw(b: Emitter): void {
  b.setReg(0, b.size, b.zext(b.sext(b.reg(0, b.size / 2), b.size / 2), b.size));
}

/** CWD CDQ CQO: the sign of rAX into all of rDX. */
function cwd(b: Emitter): void {
  b.setReg(2, b.size, b.zext(b.sar(b.sext(b.reg(0, b.size), b.size), b.const(63)), b.size));
}

function movbe(b: Emitter, dst: Operand, src: Operand): void {
  dst.write(b.let(byteSwap(b, src.read(), dst.bits)));
}

export const MOVE: readonly Definition[] = [
  instruction({ name: 'MOV', opcode: '88', operands: ['Eb', 'Gb'], semantics: mov }),
  instruction({ name: 'MOV', opcode: '89', operands: ['Ev', 'Gv'], semantics: mov }),
  instruction({ name: 'MOV', opcode: '8A', operands: ['Gb', 'Eb'], semantics: mov }),
  instruction({ name: 'MOV', opcode: '8B', operands: ['Gv', 'Ev'], semantics: mov }),
  instruction({ name: 'MOV', opcode: 'A0', operands: ['AL', 'Ob'], semantics: mov }),
  instruction({ name: 'MOV', opcode: 'A1', operands: ['rAX', 'Ov'], semantics: mov }),
  instruction({ name: 'MOV', opcode: 'A2', operands: ['Ob', 'AL'], semantics: mov }),
  instruction({ name: 'MOV', opcode: 'A3', operands: ['Ov', 'rAX'], semantics: mov }),
  instruction({ name: 'MOV', opcode: 'B0 +r', operands: ['Zb', 'Ib'], semantics: mov }),
  instruction({ name: 'MOV', opcode: 'B8 +r', operands: ['Zv', 'Iv'], semantics: mov }),
  instruction({ name: 'MOV', opcode: 'C6 /0', operands: ['Eb', 'Ib'], semantics: mov }),
  instruction({ name: 'MOV', opcode: 'C7 /0', operands: ['Ev', 'Iz'], semantics: mov }),
  instruction({ name: 'MOVZX', opcode: '0F B6', operands: ['Gv', 'Eb'], semantics: mov }),
  instruction({ name: 'MOVZX', opcode: '0F B7', operands: ['Gv', 'Ew'], semantics: mov }),
  instruction({ name: 'MOVSX', opcode: '0F BE', operands: ['Gv', 'Eb'], semantics: movsx }),
  instruction({ name: 'MOVSX', opcode: '0F BF', operands: ['Gv', 'Ew'], semantics: movsx }),
  instruction({ name: 'MOVSXD', opcode: '63', operands: ['Gv', 'Ed'], mode: '64', semantics: movsx }),
  instruction({ name: 'LEA', opcode: '8D mem', operands: ['Gv', 'M'], semantics: lea }),
  instruction({ name: 'XCHG', opcode: '86', operands: ['Eb', 'Gb'], lock: true, semantics: xchg }),
  instruction({ name: 'XCHG', opcode: '87', operands: ['Ev', 'Gv'], lock: true, semantics: xchg }),
  // 90 is XCHG rAX,rAX, which is NOP except that REX.B makes it XCHG R8,rAX; F3 90 is PAUSE.
  instruction({ name: 'XCHG', opcode: '90 +r', operands: ['Zv', 'rAX'], semantics: exchangeRegisters }),
  instruction({ name: 'PAUSE', opcode: 'F3 90', semantics: () => {} }),
  instruction({ name: 'NOP', opcode: '0F 1F /r', semantics: () => {} }),
  ...[0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x0d].map((byte) => instruction({ name: 'NOP', opcode: `0F ${hex(byte)} /r`, semantics: () => {} })),
  ...cmovs(),
  ...setccs(),
  instruction({ name: 'BSWAP', opcode: '0F C8 +r', operands: ['Zy'], semantics: bswap }),
  instruction({ name: 'CBW', opcode: '98', sized: true, semantics: cbw }),
  instruction({ name: 'CWD', opcode: '99', sized: true, semantics: cwd }),
  instruction({ name: 'MOVNTI', opcode: 'NP 0F C3 mem', operands: ['My', 'Gy'], semantics: mov }),
  // One vCPU sees its own accesses in order; the host keeps the order of plain accesses between vCPUs.
  ...[5, 6, 7].map((digit) => instruction({ name: ['LFENCE', 'MFENCE', 'SFENCE'][digit - 5]!, opcode: `NP 0F AE /${digit} reg`, semantics: () => {} })),
  instruction({ name: 'MOVBE', opcode: '0F 38 F0 mem', operands: ['Gv', 'Mv'], semantics: movbe }),
  instruction({ name: 'MOVBE', opcode: '0F 38 F1 mem', operands: ['Mv', 'Gv'], semantics: movbe }),
  instruction({
    name: 'XLAT',
    opcode: 'D7',
    addressSized: true,
    semantics: (b) => {
      const offset = b.zext(b.add(b.reg(3, 64), b.reg(0, 8)), b.addressBits);
      const sum = b.add(offset, b.sourceSegmentBase());
      b.setReg(0, 8, b.load(8, b.mode64 ? sum : b.zext(sum, 32)));
    },
  }),
];

/** NOP must not clear the upper half of RAX. */
function exchangeRegisters(b: Emitter, dst: Operand, src: Operand): void {
  const a = dst.read();
  const c = src.read();
  b.if(
    b.sameRegister(dst, src),
    () => {},
    () => {
      dst.write(c);
      src.write(a);
    },
  );
}
