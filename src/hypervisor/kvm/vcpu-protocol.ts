/**
 * Everything that crosses between a VM's thread and the thread of one vCPU: words in shared memory. Whoever changes
 * what the other waits for wakes it: the vCPU's thread through the VM's doorbell (an eventfd), the VM's through a
 * futex on `TURN` or `COMMAND` and, while the guest runs, through a signal.
 */
export const WORDS = 8;

/** Whose turn it is, as one of the next three. */
export const TURN = 0;
/** The guest runs, or may run. */
export const TURN_GUEST = 0;
/** The vCPU's thread waits: kvm_run says what for, and the VM's thread answers there. */
export const TURN_EXIT = 1;
/** The vCPU's thread is done and never runs the guest again. */
export const TURN_ENDED = 2;

/** What the VM's thread wants, as a sum of the next two. */
export const COMMAND = 1;
export const COMMAND_STOP = 1;
export const COMMAND_PAUSE = 2;

/** The kernel's id of the vCPU's thread; 0 before there is one. */
export const THREAD = 2;
/** 1: the vCPU's thread does not run the guest because it was told to pause. */
export const PARKED = 3;
/** How often in a row its thread found the processor asleep with interrupts off, or not started yet. */
export const ASLEEP = 4;
/** So often means asleep for good when it is so for all: a processor that was just woken looks asleep for a moment. */
export const ASLEEP_LOOKS = 2;
/** How KVM_RUN failed, when that is why the thread is done; 0 otherwise. */
export const RUN_ERRNO = 5;
/** The timer that ends KVM_RUN now and then; -1 before there is one. */
export const TIMER = 6;

/**
 * Words per register pair that vCPU threads answer themselves: the address that reads the flags, the one that clears
 * them (0: the table ends here), the flags. Shared by all vCPUs of a VM; pairs are only ever added.
 */
export const STATUS_WORDS = 3;
export const STATUS_PAIRS = 32;
export const STATUS_READ = 0;
export const STATUS_CLEAR = 1;
export const STATUS_FLAGS = 2;

/** What a vCPU's thread is started with. */
export interface VcpuThreadData {
  readonly words: SharedArrayBuffer;
  readonly statuses: SharedArrayBuffer;
  readonly fd: number;
  readonly runBytes: number;
  /** An eventfd that the VM's thread watches. */
  readonly doorbell: number;
}
