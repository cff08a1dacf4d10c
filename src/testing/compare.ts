import type { CpuFault, CpuResult, CpuState } from './executor.ts';
import { addressOfMemoryByte } from './layout.ts';
import type { Vector } from './vectors.ts';

const GPR = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi'];
const FLAG: readonly (readonly [string, number])[] = [
  ['CF', 0],
  ['PF', 2],
  ['AF', 4],
  ['ZF', 6],
  ['SF', 7],
  ['TF', 8],
  ['IF', 9],
  ['DF', 10],
  ['OF', 11],
  ['NT', 14],
  ['AC', 18],
  ['ID', 21],
];
/** IOPL, VM, VIF and VIP belong to the system; RF only says how the state was captured. */
const COMPARED_FLAGS = FLAG.reduce((mask, [, bit]) => mask | (1 << bit), 0);

export interface CompareOptions {
  /** Compare even what the architecture leaves undefined with what this processor did. */
  readonly strict?: boolean;
}

/**
 * Says how a result differs from silicon, one readable line per register, flag set, or run of memory; empty when it
 * does not. Nothing but the fault is compared when the faults differ: the rest follows from that.
 */
export function compareResult(vector: Vector, result: CpuResult, options: CompareOptions = {}): string[] {
  const fault = compareFault(vector.fault, result.fault);
  if (fault !== undefined) return [fault];
  const strict = options.strict === true;
  const out: string[] = [];
  const { before, after } = vector;
  const found = result.after;
  for (let i = 0; i < 16; i++) word(out, GPR[i] ?? `r${i}`, before.gpr[i]!, after.gpr[i]!, found.gpr[i]!);
  word(out, 'rip', before.rip, after.rip, found.rip);
  word(out, 'fsBase', before.fsBase, after.fsBase, found.fsBase);
  word(out, 'gsBase', before.gsBase, after.gsBase, found.gsBase);
  compareFlags(out, vector, found, strict ? 0 : vector.undefinedFlags);
  const ulps = vector.template.toleranceUlps;
  for (let i = 0; i < 16; i++) {
    if (!nearlyEqualSingles(after.xmm, found.xmm, 16 * i, ulps))
      row(out, `xmm${i}`, 16, i, (s) => s.xmm, before, after, found);
  }
  word(out, 'mxcsr', before.mxcsr, after.mxcsr, found.mxcsr);
  word(out, 'fcw', before.fcw, after.fcw, found.fcw);
  const openFsw = strict ? 0 : vector.undefinedFsw;
  word(out, 'fsw', before.fsw & ~openFsw, after.fsw & ~openFsw, found.fsw & ~openFsw);
  word(out, 'ftw', before.ftw, after.ftw, found.ftw);
  for (let i = 0; i < 8; i++) {
    if (!nearlyEqual(after.st, found.st, 10 * i, ulps)) {
      row(out, `st${i}`, 10, i, (s) => s.st, before, after, found);
    }
  }
  compareMemory(out, vector, found, strict);
  return out;
}

function compareFault(expected: CpuFault | undefined, found: CpuFault | undefined): string | undefined {
  const [want, have] = [faultText(expected), faultText(found)];
  return want === have ? undefined : `fault: expected ${want}, found ${have}`;
}

function faultText(fault: CpuFault | undefined): string {
  if (fault === undefined) return 'none';
  const name = {
    0: '#DE',
    1: '#DB',
    3: '#BP',
    6: '#UD',
    12: '#SS',
    13: '#GP',
    14: '#PF',
    16: '#MF',
    17: '#AC',
    19: '#XM',
  };
  const label = name[fault.vector as keyof typeof name] ?? `vector ${fault.vector}`;
  return fault.vector === 14
    ? `#PF(error ${fault.errorCode}, address 0x${fault.address.toString(16)})`
    : `${label}(${fault.errorCode})`;
}

function compareFlags(out: string[], { before, after }: Vector, found: CpuState, open: number): void {
  const mask = COMPARED_FLAGS & ~open;
  const wrong = (after.rflags ^ found.rflags) & mask;
  if (wrong === 0) return;
  const names = FLAG.filter(([, bit]) => wrong & (1 << bit)).map(
    ([name, bit]) => `${name} expected ${(after.rflags >> bit) & 1} (was ${(before.rflags >> bit) & 1})`,
  );
  out.push(`rflags: ${names.join(', ')}`);
}

function word(
  out: string[],
  name: string,
  before: bigint | number,
  expected: bigint | number,
  found: bigint | number,
): void {
  if (expected === found) return;
  const was = expected === before ? 'unchanged ' : '';
  out.push(`${name}: expected ${was}0x${expected.toString(16)}, found 0x${found.toString(16)}`);
}

function row(
  out: string[],
  name: string,
  size: number,
  index: number,
  file: (state: CpuState) => Uint8Array,
  before: CpuState,
  after: CpuState,
  found: CpuState,
): void {
  const [was, want, have] = [before, after, found].map((s) => bigEndianHex(file(s), index * size, size));
  if (want !== have) out.push(`${name}: expected ${want === was ? 'unchanged ' : ''}${want}, found ${have}`);
}

/** Most significant byte first, as numbers are written. */
function bigEndianHex(bytes: Uint8Array, at: number, size: number): string {
  let text = '';
  for (let i = at + size - 1; i >= at; i--) text += bytes[i]!.toString(16).padStart(2, '0');
  return text;
}

/** Compares four single-precision lanes of equal sign by their distance as integers. */
function nearlyEqualSingles(a: Uint8Array, b: Uint8Array, at: number, ulps: number): boolean {
  for (let lane = at; lane < at + 16; lane += 4) {
    if (Math.abs(lane32(a, lane) - lane32(b, lane)) > ulps) return false;
  }
  return true;
}

function lane32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}

/** Compares 80-bit numbers of equal sign by the distance of exponent and significand taken as one integer. */
function nearlyEqual(a: Uint8Array, b: Uint8Array, at: number, ulps: number): boolean {
  const difference = extended(a, at) - extended(b, at);
  return difference <= BigInt(ulps) && -difference <= BigInt(ulps);
}

/** Drops the explicit integer bit, which is 1 in every normal number, so that neighbours differ by one. */
function extended(bytes: Uint8Array, at: number): bigint {
  const value = BigInt(`0x${bigEndianHex(bytes, at, 10)}`);
  const fraction = value & 0x7fff_ffff_ffff_ffffn;
  const integer = (value >> 63n) & 1n;
  return ((value >> 64n) << 63n) + fraction + (integer << 80n);
}

function compareMemory(
  out: string[],
  { before, after, undefinedMemory }: Vector,
  found: CpuState,
  strict: boolean,
): void {
  const open = strict ? [] : undefinedMemory;
  const wrong = (i: number) =>
    after.memory[i] !== found.memory[i] && !open.some((r) => i >= r.offset && i < r.offset + r.length);
  for (let i = 0; i < after.memory.length; i++) {
    if (!wrong(i)) continue;
    let end = i + 1;
    while (end < after.memory.length && wrong(end)) end++;
    const [was, want, have] = [before, after, found].map((s) => inOrderHex(s.memory, i, end));
    const note = want === was ? 'unchanged ' : '';
    out.push(`memory 0x${addressOfMemoryByte(i).toString(16)}: expected ${note}${want}, found ${have}`);
    i = end;
  }
}

function inOrderHex(bytes: Uint8Array, start: number, end: number): string {
  return Array.from(bytes.subarray(start, end), (byte) => byte.toString(16).padStart(2, '0')).join(' ');
}
