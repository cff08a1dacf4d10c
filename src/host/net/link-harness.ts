import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import type { NetBackend, NetEvents } from '../../devices/virtio-net/backend.ts';
import type { LinkOptions } from './link.ts';

/** A folder of its own for one test file. */
export function ownFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'krun-net-test-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Two connected stream sockets. */
export async function streamPair(path: string): Promise<[ours: Socket, peer: Socket]> {
  const { connect } = await import('node:net');
  const server = createServer().listen(path);
  await once(server, 'listening');
  const ours = connect(path);
  const [[peer]] = (await Promise.all([once(server, 'connection'), once(ours, 'connect')])) as [[Socket], unknown];
  server.close();
  return [ours, peer];
}

/** What the backend said to its log. */
export interface Said {
  readonly lines: string[];
  readonly options: LinkOptions;
}

export function linkOptions(): Said {
  const lines: string[] = [];
  const options = {
    name: 'eth0',
    mac: Uint8Array.of(2, 0, 0, 0, 0, 1),
    features: 0n,
    isTrusted: false,
    log: (_: unknown, line: string) => void lines.push(line),
  };
  return { lines, options };
}

/** A device that takes at most as many frames as it is told to, and knows what happened. */
export class FakeDevice implements NetEvents {
  readonly frames: Buffer[] = [];
  credit = Number.POSITIVE_INFINITY;
  writable = 0;
  linkChanges = 0;
  readonly #backend: NetBackend;
  #wake: (() => void) | undefined;

  constructor(backend: NetBackend) {
    this.#backend = backend;
    backend.attach(this, 0n);
  }

  onReadable(): void {
    this.take();
  }

  onWritable(): void {
    this.writable += 1;
    this.#wake?.();
  }

  onLinkChange(): void {
    this.linkChanges += 1;
    this.#wake?.();
  }

  take(): void {
    for (let frame = this.#backend.peek(); frame !== undefined && this.credit > 0; frame = this.#backend.peek()) {
      this.frames.push(Buffer.from(frame));
      this.#backend.drop();
      this.credit -= 1;
    }
    this.#wake?.();
  }

  /** False when there was no room. */
  send(frame: Uint8Array): boolean {
    const room = this.#backend.reserve(frame.length);
    room?.set(frame);
    if (room !== undefined) this.#backend.commit();
    this.#backend.flush();
    return room !== undefined;
  }

  /** Resolves when something happened that makes this true. */
  async until(isTrue: () => boolean): Promise<void> {
    while (!isTrue())
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
  }
}
