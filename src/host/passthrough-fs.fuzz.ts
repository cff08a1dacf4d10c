import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FuseServer } from '../fuse/server.ts';
import { FuseMessages } from '../testing/fuse-messages.ts';
import { Random } from '../testing/random.ts';
import { openPassthrough, type PassthroughOptions } from './passthrough-fs.ts';

const SECRET = 'CANARY-OUTSIDE-THE-SHARE';
const DESCRIPTORS_MAX = 64;

/** Counts that show a run has reached what it is meant to reach. */
export interface PassthroughReport {
  readonly answered: number;
  readonly succeeded: number;
  readonly kinds: number;
}

/**
 * A hostile guest against a real shared directory with links that lead out of it. Fails when anything throws, when
 * the outside is seen or changed, or when more descriptors are held than allowed.
 */
export function run(seed: number, iterations: number, options: PassthroughOptions = {}): PassthroughReport {
  const random = new Random(seed);
  const base = fs.mkdtempSync(join(tmpdir(), 'krun-fuzz-'));
  try {
    return attack(random, iterations, base, options);
  } finally {
    removeAll(base);
  }
}

function attack(random: Random, iterations: number, base: string, options: PassthroughOptions): PassthroughReport {
  const before = descriptors();
  const outside = layOut(base);
  const untouched = describe(outside);
  const share = openPassthrough(join(base, 'shared'), { descriptorsMax: DESCRIPTORS_MAX, ...options });
  const server = new FuseServer(share);
  const messages = new FuseMessages(random);
  const counts = { answered: 0, succeeded: 0 };
  const kinds = new Set<number>();
  try {
    for (let step = 0; step < iterations; step++) {
      if (step % 100 === 99) restock(join(base, 'shared'), outside);
      const request = messages.next();
      const reply = serve(server, request, random);
      messages.learn(reply);
      if (reply.length === 0) continue;
      counts.answered++;
      if (new DataView(reply.buffer).getInt32(4, true) === 0) {
        counts.succeeded++;
        kinds.add(request[4] as number);
      }
      if (Buffer.from(reply).includes(SECRET)) throw new RangeError(`Cannot continue: step ${step} read the outside`);
      if (step % 16 !== 0) continue;
      if (describe(outside) !== untouched) throw new RangeError(`Cannot continue: step ${step} changed the outside`);
      const held = descriptors() - before;
      if (held > DESCRIPTORS_MAX + 2) throw new RangeError(`Cannot continue: ${held} descriptors are held`);
    }
  } finally {
    share.close();
  }
  if (descriptors() !== before) throw new RangeError(`Cannot end: ${descriptors() - before} descriptors are left`);
  return { ...counts, kinds: kinds.size };
}

/** A shared directory with ways out, and beside it what must not be reached. Answers the outside's path. */
function layOut(base: string): string {
  const [shared, outside] = [join(base, 'shared'), join(base, 'outside')];
  fs.mkdirSync(shared);
  fs.mkdirSync(outside);
  fs.writeFileSync(join(outside, 'canary'), SECRET);
  restock(shared, outside);
  return outside;
}

/** Removes a tree whose directories the guest may have closed to us. Links are removed, not followed. */
function removeAll(directory: string | Buffer, { itself } = { itself: true }): void {
  fs.chmodSync(directory, 0o755);
  for (const entry of fs.readdirSync(directory, { withFileTypes: true, encoding: 'buffer' })) {
    const path = Buffer.concat([Buffer.from(directory), Buffer.from('/'), entry.name]);
    if (entry.isDirectory()) removeAll(path);
    else fs.unlinkSync(path);
  }
  if (itself) fs.rmdirSync(directory);
}

/** Puts back what the guest has removed or renamed. The host never works through the guest's links. */
function restock(shared: string, outside: string): void {
  removeAll(shared, { itself: false });
  fs.mkdirSync(join(shared, 'dir'), { recursive: true });
  fs.writeFileSync(join(shared, 'a'), 'inside');
  fs.symlinkSync(outside, join(shared, 'out'));
  fs.symlinkSync(join(outside, 'canary'), join(shared, 'canary'));
  fs.symlinkSync('..', join(shared, 'dir', 'link'));
}

/** One request in random pieces, with random room for the reply. */
function serve(server: FuseServer, request: Uint8Array, random: Random): Uint8Array {
  const readable: Uint8Array[] = [];
  for (let at = 0; at < request.length; ) {
    const end = at + 1 + random.below(random.pick([8, 64, 4096]));
    readable.push(request.subarray(at, end));
    at = end;
  }
  const room = new Uint8Array(random.oneIn(4) ? random.below(300) : 4096);
  const middle = random.below(room.length + 1);
  const written = server.handle(readable, [room.subarray(0, middle), room.subarray(middle)]);
  if (written > room.length) throw new RangeError(`Cannot continue: ${written} bytes written into ${room.length}`);
  return room.slice(0, written);
}

function descriptors(): number {
  return fs.readdirSync('/proc/self/fd').length;
}

/** Everything about the outside that a guest could change, but for access times. */
function describe(outside: string): string {
  return [outside, ...fs.readdirSync(outside).map((name) => join(outside, name))]
    .map((path) => {
      const { mode, uid, gid, size, nlink, mtimeNs } = fs.lstatSync(path, { bigint: true });
      return `${path} ${mode} ${uid} ${gid} ${size} ${nlink} ${mtimeNs}`;
    })
    .join('\n');
}
