import type { LogLevel } from '../base/log.ts';
import type { InputName, OutputName, WindowSpec } from '../config/spec.ts';
import type { FromStreams, ToStreams } from '../host/vsock/user-streams.ts';
import { KrunError, type Stage } from './errors.ts';
import type { ExitReason } from './vm-exit.ts';

/** Bytes of one output stream that may be under way or unread before the guest has to wait. */
export const OUTPUT_WINDOW = 256 * 1024;

/** From the user's thread to the VM's. Serial ports are numbered behind the consoles. */
export type ToVm =
  | { readonly type: 'consumed'; readonly console: number; readonly stream: OutputName; readonly bytes: number }
  | { readonly type: 'input'; readonly console: number; readonly stream: InputName; readonly chunk: Uint8Array }
  | { readonly type: 'input-end'; readonly console: number; readonly stream: InputName }
  | { readonly type: 'interrupt'; readonly console: number } // the terminal's interrupt character
  | ({ readonly type: 'resize'; readonly console: number; readonly port: number } & WindowSpec)
  | { readonly type: 'vsock'; readonly message: ToStreams }
  | { readonly type: 'shutdown' } // the guest is asked to end by itself
  | { readonly type: 'stop' };

/** From the VM's thread to the user's. */
export type FromVm =
  | { readonly type: 'progress'; readonly progress: KernelProgress }
  | ({ readonly type: 'started' } & StartedInfo)
  | { readonly type: 'output'; readonly console: number; readonly stream: OutputName; readonly chunk: Uint8Array }
  | { readonly type: 'input-taken'; readonly console: number; readonly stream: InputName; readonly bytes: number }
  | { readonly type: 'vsock'; readonly message: FromStreams }
  | { readonly type: 'log'; readonly level: LogLevel; readonly message: string }
  | { readonly type: 'ended'; readonly result: VmResult }
  | { readonly type: 'failed'; readonly error: ErrorRecord };

/** The guest kernel is being fetched; `totalBytes` is unknown to some servers. */
export interface KernelProgress {
  readonly receivedBytes: number;
  readonly totalBytes: number | undefined;
}

/** What runs. */
export interface StartedInfo {
  readonly engine: 'kvm' | 'soft';
  /** The kernel's own version text. */
  readonly kernelVersion: string;
}

/** How the machine ended, as its thread saw it. */
export interface VmResult {
  readonly reason: ExitReason;
  readonly code: number | null;
  readonly signal: string | null;
  readonly detail?: string | undefined;
}

/** An error in a form that survives the way between threads. */
export interface ErrorRecord {
  readonly code: string;
  readonly message: string;
  readonly stage: Stage;
  readonly hint: string | undefined;
  readonly stack: string | undefined;
}

/** What the user's thread needs of an error. */
export function recordError({ code, message, stage, hint, stack, cause }: KrunError): ErrorRecord {
  return { code, message, stage, hint, stack: cause instanceof Error ? (cause.stack ?? stack) : stack };
}

/** The error again; the original stack is in `cause`. */
export function reviveError({ code, message, stage, hint, stack }: ErrorRecord): KrunError {
  const cause = new Error(message);
  if (stack !== undefined) cause.stack = stack;
  return new KrunError(code, message, { stage, hint, cause });
}
