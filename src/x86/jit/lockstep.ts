import { Random } from '../../testing/random.ts';
import { DATA_BYTES, LOW_BYTES, LockstepMachine, PLACE } from './lockstep-machine.ts';
import { randomProgram, randomRegisters } from './random-program.ts';

/** Instructions after which a program is left alone. */
const STEPS_MAX = 4000;

/** What a run of programs has reached, so that a test can tell that it tested something. */
export interface LockstepReport {
  programs: number;
  stops: number;
  instructions: number;
  faults: number;
  compiled: number;
}

/** The two tiers came to different states. */
export class LockstepMismatch extends Error {
  override readonly name = 'LockstepMismatch';
}

/**
 * Runs random programs on the interpreter and on compiled code, with interrupts at random points, and compares everything at
 * each stop. @throws {LockstepMismatch}
 */
export function runLockstep(seed: number, programs: number, precise = true): LockstepReport {
  const machines = [new LockstepMachine('interp', precise), new LockstepMachine('jit', precise)] as const;
  const report = { programs: 0, stops: 0, instructions: 0, faults: 0, compiled: 0 };
  for (let i = 0; i < programs; i++) {
    runProgram(machines, seed * 1_000_003 + i, report);
    report.programs++;
  }
  report.compiled = machines[1].cpu.jit!.statistics.instructions;
  return report;
}

/** The same with given code and random data. */
export function runLockstepOn(code: Uint8Array, runs: number): LockstepReport {
  const machines = [new LockstepMachine('interp', true), new LockstepMachine('jit', true)] as const;
  const report = { programs: 0, stops: 0, instructions: 0, faults: 0, compiled: 0 };
  for (let seed = 0; seed < runs; seed++) {
    runProgram(machines, seed, report, code);
    report.programs++;
  }
  return report;
}

function runProgram([interp, jit]: readonly [LockstepMachine, LockstepMachine], seed: number, report: LockstepReport, given?: Uint8Array): void {
  const random = new Random(seed);
  const code = given ?? randomProgram(random);
  const data = random.bytes(DATA_BYTES);
  const registers = randomRegisters(random);
  for (const machine of [interp, jit]) machine.load(code, data, registers);
  for (let steps = 0; steps < STEPS_MAX; ) {
    const start = jit.retired;
    const budget = 1 + random.below(200);
    const end = jit.cpu.run(budget);
    const done = Number(jit.retired - start);
    // Compiled code looks at its budget less often: the interpreter follows block by block.
    let same = interp.cpu.run(budget);
    while (same === 'budget' && (end !== 'budget' || interp.retired < jit.retired)) same = interp.cpu.run(0);
    report.stops++;
    report.instructions += done;
    compare(interp, jit, `seed ${seed} after ${steps + done}: ${end} and ${same}`);
    if (end !== same) throw new LockstepMismatch(`Cannot go on: seed ${seed} ended with ${end} and ${same}`);
    if (end !== 'budget') {
      report.faults++;
      return;
    }
    steps += Math.max(done, 1);
    if (random.oneIn(3)) for (const machine of [interp, jit]) machine.interrupt();
  }
}

function compare(interp: LockstepMachine, jit: LockstepMachine, where: string): void {
  const [a, b] = [interp.describe(), jit.describe()];
  const lines = b.split('\n');
  const different = a
    .split('\n')
    .map((line, i) => [line, lines[i]!] as const)
    .filter(([x, y]) => x !== y);
  const bytes = firstDifference(interp.ram, jit.ram);
  if (different.length === 0 && bytes < 0) return;
  const memory = bytes < 0 ? '' : ` memory at ${bytes.toString(16)}`;
  throw new LockstepMismatch(`Cannot agree at ${where}: ${different.map((pair) => pair.join(' / ')).join(', ')}${memory}`);
}

const COMPARED: readonly (readonly [from: number, to: number])[] = [
  [0, LOW_BYTES],
  [PLACE.stack - 8192, PLACE.stack + 4096],
  [PLACE.data, PLACE.data + DATA_BYTES],
  [PLACE.code, PLACE.code + 8192],
];

function firstDifference(a: Uint8Array, b: Uint8Array): number {
  for (const [from, to] of COMPARED) for (let i = from; i < to; i++) if (a[i] !== b[i]) return i;
  return -1;
}
