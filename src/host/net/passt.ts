import { type ChildProcess, spawn } from 'node:child_process';
import { Socket } from 'node:net';
import { KrunError } from '../../base/krun-error.ts';
import type { Log } from '../../base/log.ts';
import { loadNetworkCalls, type NetworkCalls } from '../../native/network.ts';
import { AF_UNIX, growSendBuffer, SOCK_CLOEXEC, SOCK_STREAM } from './linux.ts';

/** What it says before it ends is kept to this length. */
const SAYS_MAX = 4096;
/** It is taken to be well when it has said nothing for so long. */
const PATIENCE_MS = 300;

export interface PasstOptions {
  /** A path, or a name that is looked up. */
  readonly program: string;
  readonly args: readonly string[];
  readonly log: Log;
}

/** A running passt and our end of its socket. */
export interface Passt {
  readonly socket: Socket;
  close(): void;
}

/**
 * Starts a passt of our own, which ends with its socket: when it is closed, and when this process is gone.
 *
 * @throws {KrunError} ERR_PASST_NOT_FOUND, ERR_PASST_FAILED
 */
export async function startPasst({ program, args, log }: PasstOptions): Promise<Passt> {
  const pair = largePair(loadNetworkCalls());
  const child = spawn(program, ['--foreground', '--stderr', '--fd', '3', ...args], {
    // What Node calls a pipe is a pair of stream sockets as well.
    stdio: ['ignore', 'ignore', 'pipe', pair?.theirs ?? 'pipe'],
  });
  pair?.release();
  const words = { text: '' };
  const socket = pair?.ours ?? (child.stdio[3] as Socket | null | undefined);
  socket?.on('error', () => {}); // its reader says so, once there is one
  try {
    await settled(child, words);
  } catch (error) {
    socket?.destroy();
    child.kill('SIGKILL');
    throw toKrunError(program, error, words.text);
  }
  if (socket === null || socket === undefined) throw new Error('a child has the streams that were asked for');
  let isClosing = false;
  // Its socket says enough about whether there is work.
  child.unref();
  (child.stderr as Socket | null)?.unref();
  child.on('error', () => {});
  child.on('exit', (code, signal) => {
    if (!isClosing) log('error', `passt ended with ${signal ?? `code ${code}`}: ${lastWords(words.text)}`);
  });
  return {
    socket,
    close: () => {
      isClosing = true;
      socket.destroy();
      child.kill('SIGTERM');
    },
  };
}

/**
 * A pair of sockets that hold megabytes. passt drops what does not fit, and then waits for a timer, while our thread may
 * be busy with the guest for milliseconds.
 */
function largePair(calls: NetworkCalls | null): { ours: Socket; theirs: number; release(): void } | undefined {
  const pair = calls?.socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC);
  if (calls === null || pair === undefined || typeof pair === 'number') return undefined;
  const [ours, theirs] = pair;
  for (const fd of pair) growSendBuffer(calls, fd);
  return { ours: new Socket({ fd: ours }), theirs, release: () => calls.close(theirs) };
}

/** Resolves when it has told its configuration, which it does just before it begins to work. */
function settled(child: ChildProcess, words: { text: string }): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, PATIENCE_MS);
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      clearTimeout(timer);
      const tell = (): void => reject(new Error(`it ended with ${signal ?? `code ${code}`}`));
      // Its last words may still be in the pipe.
      if (child.stderr === null || child.stderr.closed) tell();
      else child.stderr.once('close', tell);
    });
    child.stderr?.on('data', (chunk: Buffer) => {
      words.text = (words.text + chunk.toString('latin1')).slice(-SAYS_MAX);
      if (!/^(MAC:|DHCP:|NDP)/m.test(words.text)) return;
      clearTimeout(timer);
      resolve();
    });
  });
}

function toKrunError(program: string, cause: unknown, said: string): KrunError {
  const { code, message } = cause as NodeJS.ErrnoException;
  if (code === 'ENOENT') {
    return new KrunError('ERR_PASST_NOT_FOUND', `Cannot start passt: "${program}" is not installed`, {
      stage: 'resources',
      hint: 'install it (Debian, Fedora: the package "passt"), or use network rules, which need no other program',
      cause,
    });
  }
  const why = said === '' ? message : `${message}: ${lastWords(said)}`;
  return new KrunError('ERR_PASST_FAILED', `Cannot start passt: ${why}`, { stage: 'resources', cause });
}

/** The reason, without the complaints about a host that has no system log, and without the usage text. */
function lastWords(said: string): string {
  const lines = said.split('\n').filter((line) => line.trim() !== '' && !/^Failed to send \d+ bytes/.test(line));
  const usage = lines.findIndex((line) => line.startsWith('Usage:'));
  return (usage < 0 ? lines : lines.slice(0, usage)).slice(-3).join('; ') || 'it said nothing';
}
