import type { MachineEnd } from '../machine/outcome.ts';
import type { VmResult } from './messages.ts';
import { type ExitReason, signalName } from './vm-exit.ts';

/** Where the guest's init puts the signal that killed its workload, above the eight bits of the exit status. */
const SIGNAL_SHIFT = 8;

/** What the machine's end means for the command it existed for. */
export function endOf({ reason, exitCode, panicked, detail }: MachineEnd): VmResult {
  if (exitCode !== undefined) return commandEnd(exitCode);
  return { reason: withoutReport(reason, panicked), code: null, signal: null, detail };
}

function commandEnd(report: number): VmResult {
  const signal = (report >> SIGNAL_SHIFT) & 0x7f;
  if (signal !== 0) return { reason: 'exited', code: null, signal: signalName(signal) };
  return { reason: 'exited', code: report & 0xff, signal: null };
}

function withoutReport(reason: MachineEnd['reason'], panicked: boolean): ExitReason {
  if (reason === 'error') return 'failed';
  return panicked && reason !== 'stopped' ? 'panic' : reason;
}
