import type { KrunError } from './errors.ts';

/** Why a VM is over. `exited` is the only one in which the command ended by itself. */
export type ExitReason =
  | 'exited' // the command ended; code or signal say how
  | 'stopped' // stop() or disposal
  | 'aborted' // the AbortSignal
  | 'timeout' // timeoutMs ran out
  | 'panic' // the guest's kernel panicked, or its init died, before the command's result was known
  | 'reset' // the guest asked for a reset before the command's result was known
  | 'shutdown' // triple fault
  | 'halted' // the CPU sleeps with interrupts off: nothing can wake it
  | 'failed'; // krun itself: `error` says what

/** How a VM ended. */
export interface Exit {
  readonly reason: ExitReason;
  /** The command's exit code; null when it did not exit by itself. */
  readonly code: number | null;
  /** Name of the signal that killed the command, for example `SIGKILL`; null when none did. */
  readonly signal: string | null;
  /** The last lines on the guest's console, at most 64 KiB. */
  readonly consoleTail: string;
  readonly error?: KrunError;
}

/** Linux signals 1 to 31 in order; the host's own numbers may differ. */
const SIGNALS =
  'HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS'.split(
    ' ',
  );

/** The name of a Linux signal number; real-time signals are `SIG<number>`. */
export function signalName(number: number): string {
  return `SIG${SIGNALS[number - 1] ?? number}`;
}

/** The number of a signal name that `signalName` made. */
export function signalNumber(name: string): number {
  const index = SIGNALS.indexOf(name.slice(3));
  return index < 0 ? Number(name.slice(3)) : index + 1;
}

/**
 * What a shell would report: the code, 128 + signal, 124 after a timeout, 130 when aborted or stopped,
 * 125 when the machine and not the command failed.
 */
export function exitStatus({ reason, code, signal }: Exit): number {
  if (signal !== null) return 128 + signalNumber(signal);
  if (code !== null) return code & 0xff;
  if (reason === 'timeout') return 124;
  return reason === 'aborted' || reason === 'stopped' ? 130 : 125;
}
