import { constants } from 'node:os';
import type { MicroVm } from '../index.ts';

/** What the signals that end a process do to a run. */
export interface SignalWatch {
  /** Aborts a start that is under way. */
  readonly aborted: AbortSignal;
  /** Number of the signal that ended the run; 0 for none. */
  readonly received: number;
  /** From now on the first SIGINT goes to the guest, as Ctrl-C would. */
  follow(vm: MicroVm): void;
  off(): void;
}

/** Turns SIGINT, SIGTERM and SIGHUP into an orderly end, so that terminal and VM are left clean. */
export function onSignals(): SignalWatch {
  const controller = new AbortController();
  let received = 0;
  let interrupted = false;
  let running: MicroVm | undefined;
  const listener = (name: NodeJS.Signals): void => {
    const [console] = running?.consoles ?? [];
    if (name === 'SIGINT' && console !== undefined && !interrupted) {
      interrupted = true;
      console.interrupt();
      return;
    }
    received = constants.signals[name];
    controller.abort();
  };
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const name of names) process.on(name, listener);
  return {
    aborted: controller.signal,
    get received() {
      return received;
    },
    follow: (vm) => {
      running = vm;
    },
    off: () => {
      for (const name of names) process.off(name, listener);
    },
  };
}
