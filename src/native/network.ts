import { bindLibc, type LibcBinding } from './libc-binding.ts';
import type { CString } from './libc.ts';

/**
 * Calls of libc that packet sockets and network interfaces want and Node lacks. Each answers what libc answers, or
 * `-errno`. No call keeps a pointer after it returns; buffers belong to the caller. All constants are Linux's.
 */
export interface NetworkCalls {
  socket(family: number, type: number): number;
  /** Two descriptors joined to each other. */
  socketpair(family: number, type: number): [number, number] | number;
  /** `address` is a struct sockaddr. */
  bind(fd: number, address: Uint8Array): number;
  connect(fd: number, address: Uint8Array): number;
  setsockopt(fd: number, level: number, name: number, value: number): number;
  /** Answers bytes; -EAGAIN without data on a descriptor that does not block. */
  read(fd: number, into: Uint8Array): number;
  write(fd: number, from: Uint8Array): number;
  /** The descriptor `to` becomes another name of what `from` is; what it was is closed. */
  dup3(from: number, to: number, flags: number): number;
  fcntl(fd: number, command: number, value: number): number;
  /** With a pointer to bytes that the call may change. */
  ioctl(fd: number, request: number, argument: Uint8Array): number;
  /** With a number in the place of the pointer. */
  ioctlNumber(fd: number, request: number, argument: number): number;
  open(path: CString, flags: number): number;
  close(fd: number): number;
}

let loaded: NetworkCalls | null | undefined;

/** libc through koffi, or null where koffi is not installed, cannot load here, or the host is not a 64-bit Linux. */
export function loadNetworkCalls(): NetworkCalls | null {
  if (loaded === undefined) loaded = bindLibc(bind);
  return loaded;
}

function bind({ native, checked }: LibcBinding): NetworkCalls {
  const socket = native('int socket(int, int, int)');
  const socketpair = native('int socketpair(int, int, int, void *)');
  const bindTo = native('int bind(int, const void *, uint32_t)');
  const connect = native('int connect(int, const void *, uint32_t)');
  const setsockopt = native('int setsockopt(int, int, int, const void *, uint32_t)');
  const read = native('int64_t read(int, void *, size_t)');
  const write = native('int64_t write(int, const void *, size_t)');
  const dup3 = native('int dup3(int, int, int)');
  // Declared with a fixed third argument: on Linux's 64-bit ABIs variadic ones of this kind travel the same way.
  const fcntl = native('int fcntl(int, int, int64_t)');
  const ioctl = native('int ioctl(int, uint64_t, void *)');
  const ioctlNumber = native('int ioctl(int, uint64_t, uint64_t)');
  const open = native('int open(const void *, int)');
  const close = native('int close(int)');
  const pair = new Int32Array(2);
  const option = new Int32Array(1);

  return {
    socket: (family, type) => checked(socket(family, type, 0)),
    socketpair(family, type) {
      const result = checked(socketpair(family, type, 0, pair));
      return result < 0 ? result : [pair[0] ?? -1, pair[1] ?? -1];
    },
    bind: (fd, address) => checked(bindTo(fd, address, address.length)),
    connect: (fd, address) => checked(connect(fd, address, address.length)),
    setsockopt(fd, level, name, value) {
      option[0] = value;
      return checked(setsockopt(fd, level, name, option, 4));
    },
    read: (fd, into) => checked(Number(read(fd, into, into.length))),
    write: (fd, from) => checked(Number(write(fd, from, from.length))),
    dup3: (from, to, flags) => checked(dup3(from, to, flags)),
    fcntl: (fd, command, value) => checked(fcntl(fd, command, value)),
    ioctl: (fd, request, argument) => checked(ioctl(fd, request, argument)),
    ioctlNumber: (fd, request, argument) => checked(ioctlNumber(fd, request, argument)),
    open: (path, flags) => checked(open(path, flags)),
    close: (fd) => checked(close(fd)),
  };
}
