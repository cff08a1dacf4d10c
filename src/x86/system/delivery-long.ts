import { ACCESS } from '../mmu/access.ts';
import { GPR, S, SEG } from '../state/layout.ts';
import { FLAG } from '../state/state.ts';
import { type Delivery, SOURCE } from './delivery-event.ts';
import { GuestException, gp, VECTOR } from './exception.ts';
import { ATTR, attributesOf, type Descriptor, dplOf, isNull, nullSsAttributes, readDescriptor, readTable, setCodeSegment, setRaw, TYPE } from './segments.ts';
import type { SystemCpu } from './system-cpu.ts';

const RSP = S.gpr + GPR.RSP * 8;
/** Offsets inside the 64-bit TSS. @spec SDM-3A §7.7 figure 7-11 */
const TSS_RSP0 = 4;
const TSS_IST1 = 0x24;

/**
 * Delivery through a 64-bit IDT. On the path of every page fault and timer tick: halves, no BigInt.
 * @spec SDM-3A §6.14
 */
export function deliverLong(cpu: SystemCpu, event: Delivery, flags: number): void {
  const { state } = cpu;
  const gate = readGate(cpu, event);
  const code = readHandlerCode(cpu, gate.selector, event.ext);
  const attributes = attributesOf(code);
  const cpl = attributes & ATTR.conforming ? state.cpl : dplOf(attributes);
  const inner = cpl < state.cpl;

  let low = state.get32(RSP);
  let high = state.get32(RSP + 4);
  if (gate.ist !== 0 || inner) {
    const slot = gate.ist !== 0 ? TSS_IST1 + (gate.ist - 1) * 8 : TSS_RSP0 + cpl * 8;
    low = readTss(cpu, slot, event.ext);
    high = readTss(cpu, slot + 4, event.ext) | 0;
  }
  low &= -16;
  const words = event.errorCode >= 0 ? 6 : 5;
  const top = low;
  low = (low - words * 8) | 0;
  if (low >>> 0 > top >>> 0) high = (high - 1) | 0;
  pushFrame(cpu, { low, high }, cpl, flags, event.errorCode);

  setCodeSegment(cpu, gate.selector, code, cpl);
  if (inner) setRaw(state, SEG.SS, cpl, 0, 0, nullSsAttributes(cpl));
  state.set32(RSP, low);
  state.set32(RSP + 4, high);
  state.set32(S.rip, gate.low);
  state.set32(S.rip + 4, gate.high);
  const cleared = FLAG.TF | FLAG.NT | FLAG.RF | FLAG.VM | (gate.type === TYPE.interruptGate32 ? FLAG.IF : 0);
  state.set32(S.flags, state.get32(S.flags) & ~cleared);
}

interface Gate {
  readonly selector: number;
  readonly ist: number;
  readonly type: number;
  readonly low: number;
  readonly high: number;
}

function readGate(cpu: SystemCpu, { vector, source, ext }: Delivery): Gate {
  const errorCode = vector * 8 + 2 + ext;
  const offset = vector * 16;
  if (offset + 15 > (cpu.state.get32(S.idtLimit) & 0xffff)) throw gp(errorCode);
  const w0 = readTable(cpu, S.idtBase, offset);
  const w1 = readTable(cpu, S.idtBase, offset + 4);
  const w2 = readTable(cpu, S.idtBase, offset + 8);
  const type = (w1 >>> 8) & 0x1f;
  if (type !== TYPE.interruptGate32 && type !== TYPE.trapGate32) throw gp(errorCode);
  if (source === SOURCE.software && ((w1 >>> 13) & 3) < cpu.state.cpl) throw gp(errorCode);
  if ((w1 & 0x8000) === 0) throw new GuestException(VECTOR.NP, errorCode);
  const low = (w0 & 0xffff) | (w1 & 0xffff_0000);
  const high = w2 | 0;
  if ((high << 16) >> 16 !== high) throw gp(ext);
  return { selector: w0 >>> 16, ist: w1 & 7, type, low, high };
}

/** The handler must be 64-bit code that is at least as privileged. */
function readHandlerCode(cpu: SystemCpu, selector: number, ext: number): Descriptor {
  if (isNull(selector)) throw gp(ext);
  const errorCode = (selector & 0xfffc) | ext;
  const code = readDescriptor(cpu, selector, VECTOR.GP, ext);
  const attributes = attributesOf(code);
  if ((attributes & (ATTR.S | ATTR.code)) !== (ATTR.S | ATTR.code)) throw gp(errorCode);
  if (dplOf(attributes) > cpu.state.cpl) throw gp(errorCode);
  if ((attributes & (ATTR.L | ATTR.DB)) !== ATTR.L) throw gp(errorCode);
  if ((attributes & ATTR.P) === 0) throw new GuestException(VECTOR.NP, errorCode);
  return code;
}

function readTss(cpu: SystemCpu, offset: number, ext: number): number {
  const { state } = cpu;
  if (offset + 3 > state.limit(SEG.TR)) throw new GuestException(VECTOR.TS, (state.selector(SEG.TR) & 0xfffc) | ext);
  return readTable(cpu, S.trBase, offset);
}

/** Writes error code, RIP, CS, RFLAGS, RSP, SS upwards from the new top of stack. */
function pushFrame(cpu: SystemCpu, at: { low: number; high: number }, cpl: number, flags: number, errorCode: number): void {
  const { state, mmu } = cpu;
  const access = (cpl === 3 ? ACCESS.user : ACCESS.implicit) | ACCESS.stack;
  let { low, high } = at;
  const push = (valueLow: number, valueHigh: number): void => {
    mmu.writePair(low, high, access, valueLow, valueHigh);
    const next = (low + 8) | 0;
    if (next >>> 0 < low >>> 0) high = (high + 1) | 0;
    low = next;
  };
  if (errorCode >= 0) push(errorCode, 0);
  push(state.get32(S.rip), state.get32(S.rip + 4));
  push(state.selector(SEG.CS), 0);
  push(flags, 0);
  push(state.get32(RSP), state.get32(RSP + 4));
  push(state.selector(SEG.SS), 0);
}
