import {
  closeSync,
  constants,
  createReadStream,
  createWriteStream,
  fstatSync,
  openSync,
  readFileSync,
  readlinkSync,
} from 'node:fs';
import { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { isatty, ReadStream, WriteStream } from 'node:tty';

const { O_RDONLY, O_WRONLY, O_RDWR, O_NONBLOCK, O_NOCTTY } = constants;

/** A stream over a descriptor that stays its owner's. */
export interface Borrowed<Stream> {
  readonly stream: Stream;
  /** The descriptor that the stream uses. */
  readonly fd: number;
  /** Ends the use. The owner's descriptor is open then, and blocks as it did. */
  release(): void;
}

type Direction = 'read' | 'write';

/**
 * Streams make descriptors non-blocking, which everybody sees who shares the open file: the parent, a shell. So pipes
 * and terminals are opened a second time, and what cannot be (a socket) is put right again afterwards.
 */
export function borrow(fd: number, direction: Direction): Borrowed<Readable | Writable> {
  const terminal = isatty(fd);
  const stat = fstatSync(fd);
  if (!terminal && !stat.isFIFO() && !stat.isSocket()) return borrowFile(fd, direction);
  const own = stat.isSocket() ? undefined : reopen(fd, direction, terminal);
  if (own === undefined) return terminal ? borrowTerminal(fd, direction) : borrowSocket(fd);
  const stream = terminal ? openTerminal(own, direction) : openPipe(own, direction);
  return { stream, fd: own, release: () => void stream.destroy() };
}

/** Destroying the stream would close the descriptor, whatever autoClose says; nothing is under way when it is left alone. */
function borrowFile(fd: number, direction: Direction): Borrowed<Readable | Writable> {
  const options = { fd, autoClose: false };
  const stream = direction === 'read' ? createReadStream('', options) : createWriteStream('', options);
  return { stream, fd, release: () => void (direction === 'read' && (stream as Readable).pause()) };
}

/** Another open file of the same pipe or terminal; undefined when there cannot be one. */
function reopen(fd: number, direction: Direction, terminal: boolean): number | undefined {
  const path = `/proc/self/fd/${fd}`;
  const access = terminal ? O_RDWR : direction === 'read' ? O_RDONLY : O_WRONLY;
  try {
    if (readlinkSync(path).includes('ptmx')) return undefined; // opening that makes a new pseudo-terminal
    const own = openSync(path, access | O_NONBLOCK | O_NOCTTY);
    if (!terminal || isatty(own)) return own;
    closeSync(own);
  } catch {
    // No /proc, no right to open it again, or a pipe without a reader.
  }
  return undefined;
}

function openTerminal(fd: number, direction: Direction): ReadStream | WriteStream {
  return direction === 'read' ? new ReadStream(fd) : new WriteStream(fd);
}

function openPipe(fd: number, direction: Direction): Socket {
  return new Socket({ fd, readable: direction === 'read', writable: direction === 'write' });
}

/** The stream cannot be destroyed, as that would close the descriptor: it is left alone instead. */
function borrowTerminal(fd: number, direction: Direction): Borrowed<Readable | Writable> {
  const stream = openTerminal(fd, direction);
  return { stream, fd, release: () => void stream.pause().unref() };
}

interface SharedSocket {
  readonly socket: Socket;
  /** Puts the descriptor right. */
  readonly restore: () => void;
  users: number;
}

/** Both directions of a socket are one stream: a descriptor can be watched only once. */
const sockets = new Map<number, SharedSocket>();

function borrowSocket(fd: number): Borrowed<Socket> {
  const shared = sockets.get(fd) ?? openSocket(fd);
  sockets.set(fd, shared);
  shared.users++;
  let released = false;
  const release = (): void => {
    if (released) return;
    released = true;
    if (--shared.users > 0) return;
    sockets.delete(fd);
    process.off('exit', shared.restore);
    shared.socket.pause().unref();
    shared.restore();
  };
  return { stream: shared.socket, fd, release };
}

function openSocket(fd: number): SharedSocket {
  const blocked = isBlocking(fd);
  const socket = new Socket({ fd, readable: true, writable: true, allowHalfOpen: true });
  // Node has no public way to do that; an own descriptor (dup) would share the flag as well.
  const { _handle: handle } = socket as Socket & { _handle?: { setBlocking?(on: boolean): number; readStop?(): void } };
  const restore = (): void => {
    handle?.readStop?.();
    if (blocked) handle?.setBlocking?.(true);
  };
  process.on('exit', restore);
  return { socket, restore, users: 0 };
}

function isBlocking(fd: number): boolean {
  try {
    const flags = /^flags:\s*([0-7]+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1];
    return (Number.parseInt(flags ?? '0', 8) & O_NONBLOCK) === 0;
  } catch {
    return true;
  }
}
