import { createRequire } from 'node:module';

/**
 * A signal as an alarm bell between threads, without a handler: its receiver blocks it, so it stays pending, and a
 * system call that unblocks it for its own duration ends with EINTR.
 *
 * The signal is SIGURG, whose default action is none: one that arrives too late, at a thread that does not block it,
 * does nothing. For 64-bit x86 Linux: thread ids come by system call number, which every libc has.
 */
export interface ThreadSignals {
  /** Blocks the bell on this thread. @returns 0 or -errno */
  block(): number;
  /** The kernel's id of this thread. */
  threadId(): number;
  /** Rings at a thread of this process; -ESRCH when it is gone. */
  ring(threadId: number): number;
  /** Takes a bell that is pending on this thread; false when none is. */
  take(): boolean;
  /** Rings at this thread again and again, until it is cancelled or the thread ends. @returns a timer, or -errno */
  ringEvery(ms: number): number;
  /** Any thread may call it. */
  cancel(timer: number): void;
}

/** Signal number on x86. */
export const BELL = 23;

const SIG_BLOCK = 0;
const CLOCK_MONOTONIC = 1;
const SYS = { gettid: 186, tgkill: 234, timer_create: 222, timer_settime: 223, timer_delete: 226 } as const;
/** struct sigevent: value, signal, kind, thread. @spec LINUX-UAPI siginfo.h */
const SIGEVENT = { bytes: 64, signo: 8, notify: 12, tid: 16, SIGEV_THREAD_ID: 4 } as const;
/** A sigset_t of libc: 1024 bits; the kernel looks at 64. */
const SIGSET_BYTES = 128;

/** @returns the calls, or null where there is no koffi or no x86-64 Linux */
export function loadThreadSignals(): ThreadSignals | null {
  if (process.platform !== 'linux' || process.arch !== 'x64') return null;
  try {
    return bind(createRequire(import.meta.url)('koffi') as typeof import('koffi'));
  } catch {
    return null; // An optional dependency.
  }
}

function bind(koffi: typeof import('koffi')): ThreadSignals {
  const library = koffi.load(null);
  const errno = koffi.errno as () => number;
  const checked = (result: number): number => (result < 0 ? -errno() : result);
  const sigmask = library.func('int pthread_sigmask(int, const void *, void *)') as unknown as Call;
  const sigtimedwait = library.func('int sigtimedwait(const void *, void *, const void *)') as unknown as Call;
  const syscall = library.func('int64_t syscall(int64_t, int64_t, int64_t, int64_t)') as unknown as Call;
  const withPointers = library.func('int64_t syscall(int64_t, int64_t, void *, void *)') as unknown as Call;
  const setTime = library.func('int64_t syscall(int64_t, int64_t, int64_t, void *, void *)') as unknown as Call;

  const bell = new Uint8Array(SIGSET_BYTES);
  bell[(BELL - 1) >> 3] = 1 << ((BELL - 1) & 7);
  const noTime = new Uint8Array(16);
  const threadId = (): number => syscall(SYS.gettid, 0, 0, 0);

  return {
    block: () => -sigmask(SIG_BLOCK, bell, null), // answers the error itself
    threadId,
    ring: (thread) => checked(syscall(SYS.tgkill, process.pid, thread, BELL)),
    take: () => sigtimedwait(bell, null, noTime) === BELL,
    ringEvery(ms) {
      const event = new DataView(new ArrayBuffer(SIGEVENT.bytes));
      event.setInt32(SIGEVENT.signo, BELL, true);
      event.setInt32(SIGEVENT.notify, SIGEVENT.SIGEV_THREAD_ID, true);
      event.setInt32(SIGEVENT.tid, threadId(), true);
      const timer = new Int32Array(1);
      const made = checked(withPointers(SYS.timer_create, CLOCK_MONOTONIC, new Uint8Array(event.buffer), timer));
      if (made < 0) return made;
      const spec = BigInt64Array.of(0n, BigInt(ms) * 1_000_000n, 0n, BigInt(ms) * 1_000_000n);
      const set = checked(setTime(SYS.timer_settime, timer[0] ?? 0, 0, spec, null));
      return set < 0 ? set : (timer[0] ?? 0);
    },
    cancel: (timer) => void syscall(SYS.timer_delete, timer, 0, 0),
  };
}

type Call = (...args: unknown[]) => number;
