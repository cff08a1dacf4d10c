import { CONDITIONS, type Emitter, type Operand } from '../ir/emitter.ts';
import { GPR } from '../state/layout.ts';
import { hex } from './alu.ts';
import { type Definition, instruction } from './definition.ts';

function call(b: Emitter): void {
  b.push(b.size, b.nextRip());
  b.jumpRelative();
}

function callIndirect(b: Emitter, target: Operand): void {
  const to = target.read();
  b.push(b.size, b.nextRip());
  b.jumpIndirect(to, 'call');
}

function ret(b: Emitter, release?: Operand): void {
  const to = b.peek(b.size);
  b.dropStack(release === undefined ? b.const(b.size / 8) : b.add(release.read(), b.const(b.size / 8)));
  b.jumpIndirect(to, 'return');
}

function jccs(): Definition[] {
  return CONDITIONS.flatMap((condition, i) => {
    const semantics = (b: Emitter): void => b.branch(b.condition(condition));
    const name = `J${condition.toUpperCase()}`;
    return [
      instruction({ name, opcode: hex(0x70 + i), operands: ['Jb'], ends: true, force64: true, semantics }),
      instruction({ name, opcode: `0F ${hex(0x80 + i)}`, operands: ['Jz'], ends: true, force64: true, semantics }),
    ];
  });
}

/** LOOP LOOPE LOOPNE: counts in the register of the address size. */
function loop(extra: 'z' | 'nz' | undefined): (b: Emitter) => void {
  return (b) => {
    const count = b.let(b.zext(b.sub(b.reg(GPR.RCX, 64), b.const(1)), b.addressBits));
    b.setReg(GPR.RCX, b.addressBits, count);
    const more = b.ne(count, b.const(0));
    b.branch(extra === undefined ? more : b.op('i32_and', more, b.condition(extra)));
  };
}

function push(b: Emitter, src: Operand): void {
  b.push(b.size, b.sext(src.read(), src.bits));
}

function pop(b: Emitter, dst: Operand): void {
  const value = b.peek(b.size);
  b.dropStack(b.size / 8);
  dst.write(value);
}

function leave(b: Emitter): void {
  const frame = b.reg(GPR.RBP, b.stackBits);
  const saved = b.load(b.size, b.stackLinear(frame));
  b.setReg(GPR.RSP, b.stackBits, b.add(frame, b.const(b.size / 8)));
  b.setReg(GPR.RBP, b.size, saved);
}

/** LAHF and SAHF: SF ZF AF PF CF in AH. */
function lahf(b: Emitter): void {
  const part = (name: 'CF' | 'PF' | 'AF' | 'ZF' | 'SF', at: number) => b.shl(b.bool(b.flag(name)), b.const(at));
  const flags = b.or(b.or(b.or(part('CF', 0), part('PF', 2)), b.or(part('AF', 4), part('ZF', 6))), b.or(part('SF', 7), b.const(2)));
  const rest = b.and(b.reg(GPR.RAX, 16), b.const(0xff));
  b.setReg(GPR.RAX, 16, b.let(b.or(b.shl(flags, b.const(8)), rest)));
}

function sahf(b: Emitter): void {
  const ah = b.let(b.shr(b.reg(GPR.RAX, 16), b.const(8)));
  const at = (position: number) => b.and(b.shr(ah, b.const(position)), b.const(1));
  const of = b.flag('OF');
  const cf = b.let(b.op('i32_wrap_i64', at(0)));
  const zr = b.xor(at(6), b.const(1));
  const sp = b.or(b.shl(at(7), b.const(63)), b.xor(at(2), b.const(1)));
  b.setFlagsSplit(b.let(zr), b.let(sp), b.or(b.carryVector(cf, of), b.shl(at(4), b.const(3))));
}

function setDirection(set: boolean): (b: Emitter) => void {
  return (b) => b.setOtherFlags(set ? b.op('i32_or', b.otherFlags(), b.i32(0x400)) : b.op('i32_and', b.otherFlags(), b.i32(~0x400)));
}

export const FLOW: readonly Definition[] = [
  ...jccs(),
  instruction({ name: 'JMP', opcode: 'EB', operands: ['Jb'], ends: true, force64: true, semantics: (b) => b.jumpRelative() }),
  instruction({ name: 'JMP', opcode: 'E9', operands: ['Jz'], ends: true, force64: true, semantics: (b) => b.jumpRelative() }),
  instruction({ name: 'JMP', opcode: 'FF /4', operands: ['Ev'], ends: true, force64: true, semantics: (b, target) => b.jumpIndirect(target.read(), 'jump') }),
  instruction({ name: 'CALL', opcode: 'E8', operands: ['Jz'], ends: true, force64: true, stack: true, semantics: call }),
  instruction({ name: 'CALL', opcode: 'FF /2', operands: ['Ev'], ends: true, force64: true, stack: true, semantics: callIndirect }),
  instruction({ name: 'RET', opcode: 'C3', ends: true, force64: true, stack: true, semantics: (b) => ret(b) }),
  instruction({ name: 'RET', opcode: 'C2', operands: ['Iw'], ends: true, force64: true, stack: true, semantics: ret }),
  instruction({ name: 'LOOPNE', opcode: 'E0', operands: ['Jb'], ends: true, force64: true, addressSized: true, semantics: loop('nz') }),
  instruction({ name: 'LOOPE', opcode: 'E1', operands: ['Jb'], ends: true, force64: true, addressSized: true, semantics: loop('z') }),
  instruction({ name: 'LOOP', opcode: 'E2', operands: ['Jb'], ends: true, force64: true, addressSized: true, semantics: loop(undefined) }),
  instruction({
    name: 'JRCXZ',
    opcode: 'E3',
    operands: ['Jb'],
    ends: true,
    force64: true,
    addressSized: true,
    semantics: (b) => b.branch(b.isZero(b.reg(GPR.RCX, b.addressBits))),
  }),
  instruction({ name: 'PUSH', opcode: '50 +r', operands: ['Zv'], default64: true, stack: true, semantics: push }),
  instruction({ name: 'POP', opcode: '58 +r', operands: ['Zv'], default64: true, stack: true, semantics: pop }),
  instruction({ name: 'PUSH', opcode: '68', operands: ['Iz'], default64: true, stack: true, semantics: push }),
  instruction({ name: 'PUSH', opcode: '6A', operands: ['sIb'], default64: true, stack: true, semantics: push }),
  instruction({ name: 'PUSH', opcode: 'FF /6', operands: ['Ev'], default64: true, stack: true, semantics: push }),
  instruction({ name: 'POP', opcode: '8F /0 reg', operands: ['Ev'], default64: true, stack: true, semantics: pop }),
  instruction({ name: 'LEAVE', opcode: 'C9', default64: true, stack: true, semantics: leave }),
  instruction({ name: 'LAHF', opcode: '9F', semantics: lahf }),
  instruction({ name: 'SAHF', opcode: '9E', semantics: sahf }),
  instruction({ name: 'CMC', opcode: 'F5', semantics: (b) => b.setCF(b.op('i32_eqz', b.flag('CF'))) }),
  instruction({ name: 'CLC', opcode: 'F8', semantics: (b) => b.setCF(b.i32(0)) }),
  instruction({ name: 'STC', opcode: 'F9', semantics: (b) => b.setCF(b.i32(1)) }),
  instruction({ name: 'CLD', opcode: 'FC', semantics: setDirection(false) }),
  instruction({ name: 'STD', opcode: 'FD', semantics: setDirection(true) }),
];
