// The entry of a vCPU's thread: runs the guest until it leaves guest mode for us, hands over, waits for the answer.
import { workerData } from 'node:worker_threads';
import { assert } from '../../base/assert.ts';
import { loadKernelCalls } from '../../native/kernel-calls.ts';
import { BELL, loadThreadSignals } from '../../native/thread-signals.ts';
import { StatusTable } from './status-table.ts';
import { KVM, kvm_run } from './structs.ts';
import { KvmVcpuDescriptor } from './vcpu.ts';
import {
  ASLEEP,
  ASLEEP_LOOKS,
  COMMAND,
  COMMAND_PAUSE,
  COMMAND_STOP,
  PARKED,
  RUN_ERRNO,
  THREAD,
  TIMER,
  TURN,
  TURN_ENDED,
  TURN_EXIT,
  type VcpuThreadData,
} from './vcpu-protocol.ts';

const EINTR = -4;
const EAGAIN = -11;
/**
 * A sleeping guest stays in the kernel; this often it comes back all the same, so that a thread that is to be
 * terminated can be, and a processor that nothing will wake is noticed.
 */
const LOOK_EVERY_MS = 100;

/** For hosts whose KVM_RUN fails with ENOMEM when it is called too often (some kernels 6.12 and 6.13), as libkrun has it. */
const PAUSE_MS = process.env['KRUN_ENOMEM_WORKAROUND'] === undefined ? 0 : 5;

const data = workerData as VcpuThreadData;
const words = new Int32Array(data.words);
const calls = loadKernelCalls();
const signals = loadThreadSignals();
assert(calls !== null && signals !== null, 'the VM opened a vCPU');
const vcpu = new KvmVcpuDescriptor(calls, data.fd, data.runBytes);
const mapping = vcpu.mapRun();
const run = new DataView(mapping.buffer);
const statuses = new StatusTable(data.statuses);

try {
  signals.block();
  vcpu.setSignalMask(0xffff_ffff_ffff_ffffn & ~(1n << BigInt(BELL - 1)));
  Atomics.store(words, TIMER, signals.ringEvery(LOOK_EVERY_MS));
  Atomics.store(words, THREAD, signals.threadId());
  runGuest();
} finally {
  Atomics.store(words, THREAD, 0);
  mapping.unmap();
  hand(TURN_ENDED);
}

function runGuest(): void {
  for (;;) {
    const command = Atomics.load(words, COMMAND);
    if ((command & COMMAND_STOP) !== 0) return;
    if (command !== 0) {
      park(command);
      continue;
    }
    if (PAUSE_MS > 0) Atomics.wait(words, COMMAND, 0, PAUSE_MS);
    // A bell that rang since the look at COMMAND is pending, and KVM_RUN returns at once.
    const result = vcpu.run();
    if (result === 0) {
      Atomics.store(words, ASLEEP, 0);
      if (statuses.serve(run)) continue;
      hand(TURN_EXIT);
      // Whoever wants it to stop need not answer.
      while (Atomics.load(words, TURN) === TURN_EXIT && (Atomics.load(words, COMMAND) & COMMAND_STOP) === 0) {
        Atomics.wait(words, TURN, TURN_EXIT);
      }
    } else if (result === EINTR) {
      answerBell();
    } else if (result === EAGAIN) {
      Atomics.store(words, ASLEEP, 0); // a processor that was waiting for its INIT or SIPI got one
    } else {
      Atomics.store(words, RUN_ERRNO, -result);
      return;
    }
  }
}

function hand(turn: typeof TURN_EXIT | typeof TURN_ENDED): void {
  Atomics.store(words, TURN, turn);
  calls?.signal(data.doorbell);
}

function park(command: number): void {
  assert((command & COMMAND_PAUSE) !== 0, 'a command is to stop or to pause');
  finishIo();
  Atomics.store(words, PARKED, 1);
  calls?.signal(data.doorbell);
  while (Atomics.load(words, COMMAND) === command) Atomics.wait(words, COMMAND, command);
  Atomics.store(words, PARKED, 0);
}

/** Brings what was answered last into registers, without running the guest. @spec KVM-API §5 "immediate_exit" */
function finishIo(): void {
  run.setUint8(kvm_run.immediate_exit, 1);
  vcpu.run();
  run.setUint8(kvm_run.immediate_exit, 0);
}

function answerBell(): void {
  while (signals?.take() === true);
  const looks = isAsleep() ? Atomics.load(words, ASLEEP) + 1 : 0;
  Atomics.store(words, ASLEEP, looks);
  if (looks === ASLEEP_LOOKS) calls?.signal(data.doorbell);
}

/** Whether only another processor, or an NMI, can wake this one. */
function isAsleep(): boolean {
  const state = vcpu.getMpState();
  if (state === KVM.MP_STATE_HALTED) return run.getUint8(kvm_run.if_flag) === 0;
  return state === KVM.MP_STATE_UNINITIALIZED || state === KVM.MP_STATE_INIT_RECEIVED;
}
