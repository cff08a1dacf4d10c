import type { Instruction } from '../decode/instruction.ts';
import { EXCEPTION } from '../softfloat/format.ts';
import { GPR, S } from '../state/layout.ts';
import type { CpuState } from '../state/state.ts';
import { GuestException, ud, VECTOR } from '../system/exception.ts';
import type { SystemCpu } from '../system/system-cpu.ts';
import { type Definition, instruction, type SystemFunction } from './definition.ts';
import { initialize, loadEnvironment, restore, save, setControl, storeEnvironment } from './x87-environment.ts';
import { begin, free, FSW, pop, recordPointers, setCodes, waitForExceptions } from './x87-unit.ts';

const CR0_MP_TS = 0xan;

/** Instructions about the unit itself. Those whose name begins with FN do not wait for pending exceptions. */
export const X87_CONTROL: readonly Definition[] = [
  x87('FLDENV', 'D9 /4 mem', loadEnvironment),
  x87('FLDCW', 'D9 /5 mem', loadControl),
  x87('FNSTENV', 'D9 /6 mem', storeEnvironment),
  x87('FNSTCW', 'D9 /7 mem', (cpu, insn) => cpu.write(cpu.address(insn), 2, word(cpu.state, S.fcw))),
  x87('FRSTOR', 'DD /4 mem', restore),
  x87('FNSAVE', 'DD /6 mem', save),
  x87('FNSTSW', 'DD /7 mem', (cpu, insn) => cpu.write(cpu.address(insn), 2, word(cpu.state, S.fsw))),
  x87('FNSTSW AX', 'DF /4 reg', storeStatusInAx),
  x87('FNENI FNDISI FNCLEX FNINIT FNSETPM', 'DB /4 reg', administrative),
  x87('FFREE', 'DD /0 reg', freeRegister(0)),
  x87('FFREEP', 'DF /0 reg', freeRegister(1)),
  // No unit: FWAIT heeds CR0.TS only together with CR0.MP, and CR0.EM not at all.
  instruction({ name: 'FWAIT', opcode: '9B', system: wait }),
];

function x87(name: string, opcode: string, system: SystemFunction): Definition {
  return instruction({ name, opcode, unit: 'x87', system });
}

function word(state: CpuState, slot: number): bigint {
  return BigInt(state.get32(slot) & 0xffff);
}

function loadControl(cpu: SystemCpu, insn: Instruction): void {
  const state = begin(cpu);
  setControl(state, Number(cpu.read(cpu.address(insn), 2)));
}

function storeStatusInAx({ state }: SystemCpu, insn: Instruction): void {
  if ((insn.rm & 7) !== 0) throw ud();
  state.setGpr(GPR.RAX, (state.gpr(GPR.RAX) & ~0xffffn) | word(state, S.fsw));
}

/** FNCLEX and FNINIT; the 8087's interrupt switches and the 287's FNSETPM do nothing. */
function administrative({ state }: SystemCpu, insn: Instruction): void {
  const which = insn.rm & 7;
  if (which > 4) throw ud();
  if (which === 2) state.set32(S.fsw, state.get32(S.fsw) & ~(EXCEPTION.all | FSW.SF | FSW.ES | FSW.B));
  else if (which === 3) initialize(state);
}

function freeRegister(pops: number): SystemFunction {
  return (cpu, insn) => {
    const state = begin(cpu);
    recordPointers(cpu, insn);
    free(state, insn.rm & 7);
    setCodes(state, FSW.C1, 0);
    pop(state, pops);
  };
}

function wait({ state }: SystemCpu): void {
  if ((state.get64(S.cr0) & CR0_MP_TS) === CR0_MP_TS) throw new GuestException(VECTOR.NM);
  waitForExceptions(state);
}
