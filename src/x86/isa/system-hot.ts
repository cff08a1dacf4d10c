import type { Emitter, Value } from '../ir/emitter.ts';
import { ENGINE, GPR, JUMP_TABLE, S, SEG, TLB_TABLE, TLB_VIEW } from '../state/layout.ts';
import { MSR_SLOT } from '../state/msr.ts';
import { FLAG } from '../state/state.ts';
import { CR4, EFER } from '../system/control-bits.ts';
import { cli, popf, sti } from '../system/flags.ts';
import { swapgs } from '../system/processor.ts';
import { syscall, sysret } from '../system/syscall.ts';
import { type Definition, instruction } from './definition.ts';

/**
 * System instructions that a kernel runs at every system call, interrupt and lock, as 64-bit mode has them: the common case in
 * generated code, everything else through the TypeScript of the same instruction.
 */

/** i32 boolean: some of the bits are set. */
function any(b: Emitter, flags: Value, mask: number): Value {
  return b.op('i32_ne', b.op('i32_and', flags, b.i32(mask)), b.i32(0));
}

/** i32 boolean: CPL is above IOPL. */
function aboveIopl(b: Emitter): Value {
  const iopl = b.op('i32_and', b.op('i32_shr_u', b.otherFlags(), b.i32(12)), b.i32(3));
  return b.op('i32_gt_u', b.field32(S.cpl), iopl);
}

/** RFLAGS without RF and VM, zero-extended. */
function rflags(b: Emitter): Value {
  const part = (name: 'CF' | 'PF' | 'AF' | 'ZF' | 'SF' | 'OF', at: number): Value => b.op('i32_shl', b.flag(name), b.i32(at));
  const or = (x: Value, y: Value): Value => b.op('i32_or', x, y);
  const low = or(or(part('CF', 0), part('PF', 2)), or(part('AF', 4), part('ZF', 6)));
  const all = or(or(low, or(part('SF', 7), part('OF', 11))), b.op('i32_and', b.otherFlags(), b.i32(~(FLAG.RF | FLAG.VM))));
  return b.let(b.op('i64_extend_i32_u', all));
}

const ARITHMETIC = FLAG.CF | FLAG.PF | FLAG.AF | FLAG.ZF | FLAG.SF | FLAG.OF;

/** All arithmetic flags from an i32, and the others set to `others`. */
function setRflags(b: Emitter, flags: Value, others: Value): void {
  const bit = (mask: number): Value => any(b, flags, mask);
  const wide = (mask: number): Value => b.bool(bit(mask));
  const sp = b.or(b.shl(wide(FLAG.SF), b.const(63)), b.xor(wide(FLAG.PF), b.const(1)));
  const cv = b.or(b.carryVector(bit(FLAG.CF), bit(FLAG.OF)), b.shl(wide(FLAG.AF), b.const(3)));
  b.setFlagsSplit(b.let(b.xor(wide(FLAG.ZF), b.const(1))), b.let(sp), b.let(cv));
  b.setOtherFlags(others);
}

function low(b: Emitter, value: Value): Value {
  return b.let(b.op('i32_wrap_i64', value));
}

function pushf(b: Emitter): void {
  b.push(b.size, rflags(b));
}

/** What POPF changes at any privilege without consequences for translation or stepping. */
const PLAIN = ARITHMETIC | FLAG.DF | FLAG.NT | FLAG.ID;

function popfHot(b: Emitter): void {
  const popped = low(b, b.peek(b.size));
  const old = b.otherFlags();
  const changed = b.let(b.op('i32_xor', popped, old));
  // IF may change here when the privilege allows it and nothing waits for it.
  const privileged = b.op('i32_eqz', aboveIopl(b));
  const special = any(b, changed, ~(PLAIN | FLAG.IF | FLAG.RF | FLAG.VM | FLAG.VIF | FLAG.VIP));
  const opens = b.op('i32_and', any(b, changed, FLAG.IF), b.op('i32_or', b.op('i32_eqz', privileged), any(b, popped, FLAG.IF)));
  const waits = b.op('i32_ne', b.field32(S.attention), b.i32(0));
  const slow = b.op('i32_or', special, b.op('i32_and', opens, b.op('i32_or', b.op('i32_eqz', privileged), waits)));
  b.if(
    slow,
    () => b.slowPath(),
    () => {
      b.dropStack(b.size / 8);
      const mask = b.i32(FLAG.DF | FLAG.NT | FLAG.ID | FLAG.IF);
      const kept = b.op('i32_and', old, b.i32(~(FLAG.DF | FLAG.NT | FLAG.ID | FLAG.IF | FLAG.RF)));
      setRflags(b, popped, b.let(b.op('i32_or', kept, b.op('i32_and', popped, mask))));
    },
    false,
  );
}

function cliHot(b: Emitter): void {
  b.if(
    aboveIopl(b),
    () => b.slowPath(),
    () => b.setOtherFlags(b.op('i32_and', b.otherFlags(), b.i32(~FLAG.IF))),
    false,
  );
}

/** Nothing waits: then the shadow of STI cannot be seen, since new interrupts are taken between blocks only. */
function stiHot(b: Emitter): void {
  const slow = b.op('i32_or', aboveIopl(b), b.op('i32_ne', b.field32(S.attention), b.i32(0)));
  b.if(
    slow,
    () => b.slowPath(),
    () => b.setOtherFlags(b.op('i32_or', b.otherFlags(), b.i32(FLAG.IF))),
    false,
  );
}

function swapgsHot(b: Emitter): void {
  b.if(
    b.field32(S.cpl),
    () => b.slowPath(),
    () => {
      const base = S.segBase + SEG.GS * 8;
      const old = b.field64(base);
      b.setField64(base, b.field64(MSR_SLOT.KERNEL_GS_BASE));
      b.setField64(MSR_SLOT.KERNEL_GS_BASE, old);
    },
    false,
  );
}

/** Flat 64-bit code and flat data segments; @spec SDM-2B "SYSCALL" */
function setFlatSegments(b: Emitter, code: Value, stack: Value, cpl: 0 | 3): void {
  const at = (seg: number): number => S.seg + seg * 16;
  const dpl = cpl << 5;
  b.setField32(at(SEG.CS), code);
  b.setField32(at(SEG.CS) + 4, b.i32(-1));
  b.setField32(at(SEG.CS) + 8, b.i32(0xa09b | dpl));
  b.setField64(S.segBase + SEG.CS * 8, b.const(0));
  b.setField32(at(SEG.SS), stack);
  b.setField32(at(SEG.SS) + 4, b.i32(-1));
  b.setField32(at(SEG.SS) + 8, b.i32(0xc093 | dpl));
  b.setField64(S.segBase + SEG.SS * 8, b.const(0));
  b.setField32(S.cpl, b.i32(cpl));
  const view = cpl === 3 ? TLB_VIEW.user : TLB_VIEW.supervisor;
  b.setField32(S.tlb, b.i32(ENGINE.tlb + view * 2 * TLB_TABLE));
  b.setField32(S.jumpCache, b.i32(ENGINE.jumpCache + (cpl === 3 ? JUMP_TABLE : 0)));
}

function or32(b: Emitter, ...values: Value[]): Value {
  return values.reduce((all, value) => b.op('i32_or', all, value));
}

function syscallHot(b: Emitter): void {
  const mask = b.field32(MSR_SLOT.SFMASK);
  const others = b.otherFlags();
  const kept = b.let(b.op('i32_and', others, b.op('i32_xor', mask, b.i32(-1))));
  const stepped = any(b, others, FLAG.TF);
  // With AC kept and SMAP on, the supervisor sees another view.
  const otherView = b.op('i32_and', any(b, kept, FLAG.AC), any(b, b.field32(S.cr4), CR4.SMAP));
  const disabled = b.op('i32_eqz', b.op('i32_and', b.field32(S.efer), b.i32(EFER.SCE)));
  b.if(
    or32(b, stepped, otherView, disabled),
    () => b.slowPath(),
    () => {
      const flags = rflags(b);
      b.setReg(GPR.RCX, 64, b.nextRip());
      b.setReg(11, 64, flags);
      const selector = b.let(b.op('i32_and', b.field32(MSR_SLOT.STAR + 4), b.i32(0xfffc)));
      setFlatSegments(b, selector, b.let(b.op('i32_add', selector, b.i32(8))), 0);
      const masked = b.let(b.op('i32_and', low(b, flags), b.op('i32_xor', mask, b.i32(-1))));
      setRflags(b, masked, b.let(or32(b, b.op('i32_and', kept, b.i32(~FLAG.RF)), b.i32(FLAG.fixed))));
      b.jumpIndirect(b.field64(MSR_SLOT.LSTAR), 'jump');
    },
    false,
  );
}

/** RFLAGS bits that SYSRET takes from R11, apart from the arithmetic ones. */
const SYSRET_OTHERS = 0x3c_7fd7 & ~ARITHMETIC;

function sysretHot(b: Emitter): void {
  const target = b.reg(GPR.RCX, 64);
  const flags = low(b, b.reg(11, 64));
  const canonical = b.eq(b.sar(b.shl(target, b.const(16)), b.const(16)), target);
  const disabled = b.op('i32_eqz', b.op('i32_and', b.field32(S.efer), b.i32(EFER.SCE)));
  const waits = b.op('i32_ne', b.field32(S.attention), b.i32(0));
  // With AC, accesses may have to be aligned from there on.
  const special = any(b, flags, FLAG.TF | FLAG.AC);
  const slow = or32(b, b.op('i32_ne', b.field32(S.cpl), b.i32(0)), disabled, b.op('i32_eqz', canonical), special, waits);
  b.if(
    b.size === 64 ? slow : b.i32(1),
    () => b.slowPath(),
    () => {
      const star = b.let(b.op('i32_shr_u', b.field32(MSR_SLOT.STAR + 4), b.i32(16)));
      const selector = (offset: number): Value => b.let(b.op('i32_or', b.op('i32_add', star, b.i32(offset)), b.i32(3)));
      setFlatSegments(b, selector(16), selector(8), 3);
      setRflags(b, flags, b.let(b.op('i32_or', b.op('i32_and', flags, b.i32(SYSRET_OTHERS)), b.i32(FLAG.fixed))));
      b.jumpIndirect(target, 'jump');
    },
    false,
  );
}

export const SYSTEM_HOT: readonly Definition[] = [
  instruction({ name: 'PUSHF', opcode: '9C', mode: '64', default64: true, stack: true, semantics: pushf }),
  instruction({ name: 'POPF', opcode: '9D', mode: '64', default64: true, stack: true, semantics: popfHot, system: popf }),
  instruction({ name: 'CLI', opcode: 'FA', mode: '64', semantics: cliHot, system: cli }),
  instruction({ name: 'STI', opcode: 'FB', mode: '64', semantics: stiHot, system: sti }),
  instruction({ name: 'SWAPGS', opcode: '0F 01 =F8', mode: '64', semantics: swapgsHot, system: swapgs }),
  instruction({ name: 'SYSCALL', opcode: '0F 05', mode: '64', ends: true, semantics: syscallHot, system: syscall }),
  instruction({ name: 'SYSRET', opcode: '0F 07', mode: '64', ends: true, sized: true, semantics: sysretHot, system: sysret }),
];
