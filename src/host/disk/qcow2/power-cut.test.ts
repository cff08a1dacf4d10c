import assert from 'node:assert/strict';
import { copyFileSync, openSync, closeSync, writeSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Random } from '../../../testing/random.ts';
import { at, check, LEASE, qemuContents, qemuImg, skipQemu } from '../disk-fixture.test.ts';
import { DiskFile } from '../disk-file.ts';
import type { Done } from '../disk-image.ts';
import { findLoss, type JournalEntry, stamped } from '../journal.fuzz.ts';
import { HEADER_BYTES_MAX, parseHeader } from './header.ts';
import { Qcow2Image } from './image.ts';

const SIZE = 2 * 1024 * 1024;

/** A write to the file, or the point where all before it became durable. */
type Event = { readonly offset: number; readonly bytes: Uint8Array } | 'barrier';

/** A file that remembers every write and every barrier, in order. */
class RecordedFile extends DiskFile {
  readonly events: Event[] = [];

  override writeNow(offset: number, from: readonly Uint8Array[]): void {
    this.events.push({ offset, bytes: new Uint8Array(Buffer.concat(from)) });
    super.writeNow(offset, from);
  }

  override write(offset: number, from: readonly Uint8Array[]): Done {
    this.writeNow(offset, from);
    return undefined;
  }

  override async sync(): Promise<void> {
    // What is written while a sync is under way may or may not be part of it.
    const here = this.events.length;
    await new Promise((resolve) => setImmediate(resolve));
    this.events.splice(here, 0, 'barrier');
  }

  override syncNow(): void {
    this.events.push('barrier');
  }

  override punchHole(offset: number, length: number): boolean {
    this.events.push({ offset, bytes: new Uint8Array(length) });
    return super.punchHole(offset, length);
  }
}

interface Recording {
  readonly events: readonly Event[];
  readonly entries: readonly JournalEntry[];
  /** How many events there were when a flush was done, and the stamp below which all is durable. */
  readonly flushes: readonly { readonly events: number; readonly stamp: number }[];
  /** How many events there were when a request began. */
  readonly begun: readonly number[];
}

async function record(path: string, random: Random): Promise<Recording> {
  const file = new RecordedFile(path, { readOnly: false, direct: false, durable: true });
  const header = parseHeader(path, readFileSync(path).subarray(0, HEADER_BYTES_MAX), { readOnly: false });
  const image = new Qcow2Image(file, header, undefined);
  const entries: JournalEntry[] = [];
  const flushes: { events: number; stamp: number }[] = [];
  const begun: number[] = [];
  const pending: Promise<void>[] = [];
  for (let stamp = 1; stamp < 250; stamp++) {
    const first = random.below(SIZE / 512);
    const count = Math.min(1 + random.below(random.pick([1, 8, 200])), SIZE / 512 - first);
    const kind = random.pick(['write', 'write', 'write', 'write', 'zero', 'discard', 'flush'] as const);
    if (kind === 'flush') {
      const flush = Promise.resolve(image.flush()).then(() => void flushes.push({ events: file.events.length, stamp }));
      pending.push(flush);
      if (random.oneIn(2)) await flush;
      continue;
    }
    begun.push(file.events.length);
    entries.push({ kind, stamp, first, count });
    if (kind === 'write') await image.write(first * 512, [stamped(stamp, count)]);
    else if (kind === 'zero') await image.writeZeroes(first * 512, count * 512, random.oneIn(2));
    else await image.discard(first * 512, count * 512);
  }
  await Promise.all(pending);
  assert.equal(image.read(0, [new Uint8Array(512)], LEASE), undefined);
  image.close();
  return { events: [...file.events], entries, flushes, begun };
}

/** The file as it may be found when the power fails after so many events: what no barrier covers is there in part. */
function cut(path: string, events: readonly Event[], random: Random): void {
  const barrier = events.lastIndexOf('barrier');
  const fd = openSync(path, 'r+');
  events.forEach((event, index) => {
    if (event === 'barrier' || (index > barrier && random.oneIn(2))) return;
    writeSync(fd, event.bytes, 0, event.bytes.length, event.offset);
  });
  closeSync(fd);
}

for (const settings of ['compat=1.1', 'cluster_size=512', 'cluster_size=4096,compat=0.10']) {
  test(`whatever a power cut keeps of unfinished writes, the image is sound and has what was flushed: ${settings}`, {
    skip: skipQemu,
  }, async () => {
    const random = new Random(settings.length + 1);
    const empty = at('empty.qcow2');
    qemuImg('create', '-q', '-f', 'qcow2', '-o', settings, empty, String(SIZE));
    const live = at('live.qcow2');
    copyFileSync(empty, live);
    const { events, entries, flushes, begun } = await record(live, random);
    assert.ok(flushes.length > 10 && events.includes('barrier'));
    for (let round = 0; round < 25; round++) {
      const count = random.below(events.length + 1);
      const broken = at('cut.qcow2');
      copyFileSync(empty, broken);
      cut(broken, events.slice(0, count), random);
      const { corruptions, output } = check(broken);
      assert.equal(corruptions, 0, `after ${count} events: ${output}`);
      const flushed = Math.max(0, ...flushes.filter((flush) => flush.events <= count).map(({ stamp }) => stamp));
      const known = entries.filter((_, index) => (begun[index] ?? 0) <= count);
      const loss = findLoss({ entries: known, flushed }, qemuContents(broken, 'qcow2'));
      assert.equal(loss, undefined, `after ${count} events`);
    }
  });
}
