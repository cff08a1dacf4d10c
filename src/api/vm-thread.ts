import { Worker } from 'node:worker_threads';
import type { MachineSpec } from '../config/spec.ts';
import type { FromVm, ToVm } from './messages.ts';

/** The thread a VM lives in, as its handle sees it. */
export interface VmThread {
  post(message: ToVm): void;
  /** Ends the thread now, whatever it does; resolves when it is gone. */
  terminate(): Promise<void>;
}

/** What the handle wants to hear. */
export interface VmThreadEvents {
  onMessage(message: FromVm): void;
  /** The thread is over; `error` when it did not end by itself. */
  onGone(error: Error | undefined): void;
}

export type StartThread = (spec: MachineSpec, events: VmThreadEvents) => VmThread;

/** A Worker that assembles and runs the machine. */
export const startWorker: StartThread = (spec, { onMessage, onGone }) => {
  // Its own streams would go through the user's event loop; it has nothing to say there.
  // Nor would options of the user's process, such as --input-type, mean there what they mean here.
  const worker = new Worker(new URL('./vm-worker.js', import.meta.url), {
    workerData: spec,
    stdin: false,
    execArgv: [],
  });
  let failure: Error | undefined;
  worker.on('message', onMessage);
  worker.on('error', (error: Error) => {
    failure = error;
  });
  worker.on('exit', () => onGone(failure));
  return {
    post: (message) => worker.postMessage(message),
    terminate: async () => {
      await worker.terminate();
    },
  };
};
