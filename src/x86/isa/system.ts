import { SEG } from '../state/layout.ts';
import { clts, invlpg, invpcid, lmsw, readControl, smsw, writeControl } from '../system/control.ts';
import { readDebug, writeDebug } from '../system/debug.ts';
import { arpl, lar, lgdt, lidt, lldt, lsl, ltr, sgdt, sidt, sldt, str, verr, verw } from '../system/descriptor-tables.ts';
import { cli, popf, pushf, sti } from '../system/flags.ts';
import { rdmsr, wrmsr } from '../system/msr-access.ts';
import { inPort, inString, outPort, outString } from '../system/port-io.ts';
import * as P from '../system/processor.ts';
import { iret } from '../system/returns.ts';
import { syscall, sysenter, sysexit, sysret } from '../system/syscall.ts';
import * as X from '../system/xsave.ts';
import { type Definition, instruction } from './definition.ts';
import { FAR } from './system-far.ts';

/** Flags and interrupts. */
const FLAGS = [
  instruction({ name: 'PUSHF', opcode: '9C', default64: true, system: pushf }),
  instruction({ name: 'POPF', opcode: '9D', default64: true, ends: true, system: popf }),
  instruction({ name: 'CLI', opcode: 'FA', system: cli }),
  // Not the end of a block: the instruction after it runs before an interrupt can.
  instruction({ name: 'STI', opcode: 'FB', system: sti }),
  instruction({ name: 'HLT', opcode: 'F4', ends: true, system: P.hlt }),
  instruction({ name: 'INT3', opcode: 'CC', ends: true, system: P.int3 }),
  instruction({ name: 'INT', opcode: 'CD', operands: ['Ib'], ends: true, system: P.intN }),
  instruction({ name: 'INTO', opcode: 'CE', mode: 'legacy', ends: true, system: P.into }),
  instruction({ name: 'INT1', opcode: 'F1', ends: true, system: P.int1 }),
  instruction({ name: 'IRET', opcode: 'CF', ends: true, system: iret }),
];

/** System calls. */
const CALLS = [
  instruction({ name: 'SYSCALL', opcode: '0F 05', ends: true, system: syscall }),
  instruction({ name: 'SYSRET', opcode: '0F 07', ends: true, system: sysret }),
  instruction({ name: 'SYSENTER', opcode: '0F 34', ends: true, system: sysenter }),
  instruction({ name: 'SYSEXIT', opcode: '0F 35', ends: true, system: sysexit }),
];

/** Control, debug and model-specific registers. */
const CONTROL = [
  instruction({ name: 'MOV from CR', opcode: '0F 20 /r', system: readControl }),
  instruction({ name: 'MOV to CR', opcode: '0F 22 /r', ends: true, system: writeControl }),
  instruction({ name: 'MOV from DR', opcode: '0F 21 /r', system: readDebug }),
  instruction({ name: 'MOV to DR', opcode: '0F 23 /r', ends: true, system: writeDebug }),
  instruction({ name: 'CLTS', opcode: '0F 06', ends: true, system: clts }),
  instruction({ name: 'RDMSR', opcode: '0F 32', system: rdmsr }),
  instruction({ name: 'WRMSR', opcode: '0F 30', system: wrmsr }),
  instruction({ name: 'RDTSC', opcode: '0F 31', system: P.rdtsc }),
  instruction({ name: 'RDPMC', opcode: '0F 33', system: P.rdpmc }),
  instruction({ name: 'CPUID', opcode: '0F A2', system: P.cpuid }),
  instruction({ name: 'INVD', opcode: '0F 08', system: P.flushCaches }),
  instruction({ name: 'WBINVD', opcode: '0F 09', system: P.flushCaches }),
  instruction({ name: 'INVPCID', opcode: '66 0F 38 82 mem', operands: ['Gv', 'Mb'], ends: true, system: invpcid }),
];

/** Group 6 (0F 00) and group 7 (0F 01). @spec SDM-2D table A-6 */
const TABLES = [
  instruction({ name: 'SLDT', opcode: '0F 00 /0', system: sldt }),
  instruction({ name: 'STR', opcode: '0F 00 /1', system: str }),
  instruction({ name: 'LLDT', opcode: '0F 00 /2', system: lldt }),
  instruction({ name: 'LTR', opcode: '0F 00 /3', system: ltr }),
  instruction({ name: 'VERR', opcode: '0F 00 /4', system: verr }),
  instruction({ name: 'VERW', opcode: '0F 00 /5', system: verw }),
  instruction({ name: 'SGDT', opcode: '0F 01 /0 mem', system: sgdt }),
  instruction({ name: 'SIDT', opcode: '0F 01 /1 mem', system: sidt }),
  instruction({ name: 'LGDT', opcode: '0F 01 /2 mem', system: lgdt }),
  instruction({ name: 'LIDT', opcode: '0F 01 /3 mem', system: lidt }),
  instruction({ name: 'SMSW', opcode: '0F 01 /4', system: P.withUmip(smsw) }),
  instruction({ name: 'LMSW', opcode: '0F 01 /6', ends: true, system: lmsw }),
  instruction({ name: 'INVLPG', opcode: '0F 01 /7 mem', ends: true, system: invlpg }),
  ...[0, 1, 2, 3, 5, 7].map((digit) => instruction({ name: 'group 7', opcode: `0F 01 /${digit} reg`, system: P.group7Register })),
  instruction({ name: 'LAR', opcode: '0F 02 /r', system: lar }),
  instruction({ name: 'LSL', opcode: '0F 03 /r', system: lsl }),
  instruction({ name: 'ARPL', opcode: '63 /r', mode: 'legacy', system: arpl }),
];

/** Segment registers. Those that load SS end a block: the stack's width may change. */
const SEGMENTS = [
  instruction({ name: 'MOV to Sreg', opcode: '8E /r', system: P.movToSegment }),
  instruction({ name: 'MOV to SS', opcode: '8E /2', ends: true, system: P.movToSegment }),
  instruction({ name: 'MOV from Sreg', opcode: '8C /r', system: P.movFromSegment }),
  ...stacked('0F A0', '0F A1', SEG.FS),
  ...stacked('0F A8', '0F A9', SEG.GS),
  ...stacked('06', '07', SEG.ES, 'legacy'),
  ...stacked('16', '17', SEG.SS, 'legacy'),
  ...stacked('1E', '1F', SEG.DS, 'legacy'),
  instruction({ name: 'PUSH CS', opcode: '0E', mode: 'legacy', system: P.pushSegment(SEG.CS) }),
  instruction({ name: 'LSS', opcode: '0F B2 /r mem', ends: true, system: P.loadFar(SEG.SS) }),
  instruction({ name: 'LFS', opcode: '0F B4 /r mem', system: P.loadFar(SEG.FS) }),
  instruction({ name: 'LGS', opcode: '0F B5 /r mem', system: P.loadFar(SEG.GS) }),
  instruction({ name: 'LES', opcode: 'C4 /r mem', mode: 'legacy', system: P.loadFar(SEG.ES) }),
  instruction({ name: 'LDS', opcode: 'C5 /r mem', mode: 'legacy', system: P.loadFar(SEG.DS) }),
  instruction({ name: 'RDFSBASE', opcode: 'F3 0F AE /0 reg', mode: '64', system: P.segmentBase }),
  instruction({ name: 'RDGSBASE', opcode: 'F3 0F AE /1 reg', mode: '64', system: P.segmentBase }),
  instruction({ name: 'WRFSBASE', opcode: 'F3 0F AE /2 reg', mode: '64', system: P.segmentBase }),
  instruction({ name: 'WRGSBASE', opcode: 'F3 0F AE /3 reg', mode: '64', system: P.segmentBase }),
];

function stacked(push: string, pop: string, seg: number, mode?: 'legacy'): Definition[] {
  const common = mode === undefined ? { default64: true as const } : { mode };
  return [
    instruction({ name: 'PUSH Sreg', opcode: push, ...common, system: P.pushSegment(seg) }),
    instruction({ name: 'POP Sreg', opcode: pop, ...common, ends: true, system: P.popSegment(seg) }),
  ];
}

const PORTS = [
  instruction({ name: 'IN', opcode: 'E4', operands: ['Ib'], system: inPort }),
  instruction({ name: 'IN', opcode: 'E5', operands: ['Ib'], system: inPort }),
  instruction({ name: 'OUT', opcode: 'E6', operands: ['Ib'], system: outPort }),
  instruction({ name: 'OUT', opcode: 'E7', operands: ['Ib'], system: outPort }),
  instruction({ name: 'IN', opcode: 'EC', system: inPort }),
  instruction({ name: 'IN', opcode: 'ED', system: inPort }),
  instruction({ name: 'OUT', opcode: 'EE', system: outPort }),
  instruction({ name: 'OUT', opcode: 'EF', system: outPort }),
  ...['6C', '6D'].map((opcode) => instruction({ name: 'INS', opcode, ends: true, system: inString })),
  ...['6E', '6F'].map((opcode) => instruction({ name: 'OUTS', opcode, ends: true, system: outString })),
];

/** Processor state, and what is left of group 15 (0F AE) and group 9 (0F C7). */
const STATE = [
  instruction({ name: 'FXSAVE', opcode: 'NP 0F AE /0 mem', system: X.fxsave }),
  instruction({ name: 'FXRSTOR', opcode: 'NP 0F AE /1 mem', system: X.fxrstor }),
  instruction({ name: 'LDMXCSR', opcode: 'NP 0F AE /2 mem', system: X.ldmxcsr }),
  instruction({ name: 'STMXCSR', opcode: 'NP 0F AE /3 mem', system: X.stmxcsr }),
  instruction({ name: 'XSAVE', opcode: 'NP 0F AE /4 mem', system: X.xsave }),
  instruction({ name: 'XRSTOR', opcode: 'NP 0F AE /5 mem', system: X.xrstor }),
  instruction({ name: 'XSAVEOPT', opcode: 'NP 0F AE /6 mem', system: X.xsaveopt }),
  instruction({ name: 'CLWB', opcode: '66 0F AE /6 mem', system: P.flushLine }),
  instruction({ name: 'CLFLUSH', opcode: 'NP 0F AE /7 mem', system: P.flushLine }),
  instruction({ name: 'CLFLUSHOPT', opcode: '66 0F AE /7 mem', system: P.flushLine }),
  instruction({ name: 'XRSTORS', opcode: 'NP 0F C7 /3 mem', system: X.xrstors }),
  instruction({ name: 'XSAVEC', opcode: 'NP 0F C7 /4 mem', system: X.xsavec }),
  instruction({ name: 'XSAVES', opcode: 'NP 0F C7 /5 mem', system: X.xsaves }),
  instruction({ name: 'RDPID', opcode: 'F3 0F C7 /7 reg', system: P.rdpid }),
  instruction({ name: 'RDRAND', opcode: '0F C7 /6 reg', system: P.random('rdrand') }),
  instruction({ name: 'RDSEED', opcode: '0F C7 /7 reg', system: P.random('rdseed') }),
];

/** Opcodes that exist in order to be undefined. */
const UNDEFINED = [
  instruction({ name: 'UD0', opcode: '0F FF /r', ends: true, system: P.undefinedInstruction }),
  instruction({ name: 'UD1', opcode: '0F B9 /r', ends: true, system: P.undefinedInstruction }),
  instruction({ name: 'UD2', opcode: '0F 0B', ends: true, system: P.undefinedInstruction }),
  instruction({ name: 'RSM', opcode: '0F AA', ends: true, system: P.undefinedInstruction }),
];

/** Instructions of the system: rare, or never worth generated code. */
export const SYSTEM: readonly Definition[] = [...FLAGS, ...CALLS, ...CONTROL, ...TABLES, ...SEGMENTS, ...FAR, ...PORTS, ...STATE, ...UNDEFINED];
