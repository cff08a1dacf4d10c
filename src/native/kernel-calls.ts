import { bindLibc, type LibcBinding } from './libc-binding.ts';

/**
 * Calls of a 64-bit Linux kernel that drive a device by ioctl. Each answers what the kernel answers, or `-errno`.
 * Buffers live for the call only, unless something else is said; descriptors are plain numbers that the caller closes.
 */
export interface KernelCalls {
  ioctl(fd: number, request: number, argument: number | Uint8Array): number;
  /**
   * Maps `length` bytes of a descriptor, shared, readable and writable. The caller unmaps them, and touches no view of
   * them afterwards: there is nothing behind it then.
   */
  map(fd: number, length: number): Mapping | number;
  /** Address of the first byte; the memory must stay reachable for as long as anybody uses the number. */
  addressOf(bytes: Uint8Array): bigint;
  /** A descriptor that counts events, non-blocking and not inherited. */
  eventfd(): number;
  /** Adds one event. */
  signal(eventfd: number): number;
  /** Takes all events; -EAGAIN when there were none. */
  drain(eventfd: number): number;
  close(fd: number): number;
  /** Calls back on this thread's event loop whenever the descriptor is readable, which keeps the loop alive. */
  watch(fd: number, onReadable: () => void): { close(): void };
  madvise(bytes: Uint8Array, advice: number): number;
}

/** Bytes that a descriptor and this process share. */
export interface Mapping {
  readonly buffer: ArrayBuffer;
  unmap(): void;
}

const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
const EFD_CLOEXEC_NONBLOCK = 0o2004000;

let loaded: KernelCalls | null | undefined;

/** The calls through koffi, or null where koffi is not installed, cannot load here, or the host is no 64-bit Linux. */
export function loadKernelCalls(): KernelCalls | null {
  if (loaded === undefined) loaded = bindLibc(bind);
  return loaded;
}

function bind({ koffi, native, checked }: LibcBinding): KernelCalls {
  const ioctlNumber = native('int ioctl(int, uint64_t, int64_t)');
  const ioctlPointer = native('int ioctl(int, uint64_t, void *)');
  const mmap = native('int64_t mmap(int64_t, size_t, int, int, int, int64_t)');
  const munmap = native('int munmap(int64_t, size_t)');
  const eventfd = native('int eventfd(unsigned int, int)');
  const read = native('int64_t read(int, void *, size_t)');
  const write = native('int64_t write(int, const void *, size_t)');
  const close = native('int close(int)');
  const madvise = native('int madvise(void *, size_t, int)');
  const one = new Uint8Array(new BigUint64Array([1n]).buffer);
  const count = new Uint8Array(8);

  return {
    ioctl: (fd, request, argument) =>
      checked(typeof argument === 'number' ? ioctlNumber(fd, request, argument) : ioctlPointer(fd, request, argument)),
    map(fd, length) {
      const address = mmap(0, length, PROT_READ_WRITE, MAP_SHARED, fd, 0);
      if (address === -1) return checked(address);
      return { buffer: koffi.view(BigInt(address), length), unmap: () => void munmap(address, length) };
    },
    addressOf: (bytes) => koffi.address(bytes),
    eventfd: () => checked(eventfd(0, EFD_CLOEXEC_NONBLOCK)),
    signal: (fd) => checked(Number(write(fd, one, 8))),
    drain: (fd) => checked(Number(read(fd, count, 8))),
    close: (fd) => checked(close(fd)),
    watch(fd, onReadable) {
      const handle = koffi.node.poll(fd, { readable: true }, onReadable);
      return { close: () => handle.close() };
    },
    madvise: (bytes, advice) => checked(madvise(bytes, bytes.length, advice)),
  };
}
