import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { KrunError } from '../../../base/krun-error.ts';
import { Random } from '../../../testing/random.ts';
import { ImageIoError } from '../disk-error.ts';
import { type OpenDisk, openDisk } from '../open-disk.ts';
import { smallImage } from './small-image.fuzz.ts';

/** Counts that show a run has reached what it is meant to reach. */
export interface Qcow2Report {
  readonly refused: number;
  readonly opened: number;
  readonly failedRequests: number;
  readonly goodRequests: number;
}

/** Longer than any request of these may take, even on a busy host. */
const SLOW_MS = 5000;

/**
 * Images whose tables were damaged: each is refused with a typed error, or its requests succeed or fail, soon; and its
 * file does not grow beyond what was written.
 *
 * @param folder where images may be put
 * @param mistake for canaries: thrown in the middle of a request
 */
export async function run(seed: number, iterations: number, folder: string, mistake?: Error): Promise<Qcow2Report> {
  const random = new Random(seed);
  const path = join(folder, `fuzz-${seed}.qcow2`);
  const report = { refused: 0, opened: 0, failedRequests: 0, goodRequests: 0 };
  for (let iteration = 0; iteration < iterations; iteration++) {
    const start = performance.now();
    writeFileSync(path, damage(smallImage(random.pick([2, 3])), random));
    const disk = tryOpen(path, random.oneIn(3));
    if (disk === undefined) report.refused += 1;
    else {
      report.opened += 1;
      for (let request = 0; request < 12; request++) {
        if (await tryRequest(disk, random, mistake)) report.goodRequests += 1;
        else report.failedRequests += 1;
      }
      await closed(disk);
    }
    const took = performance.now() - start;
    if (took > SLOW_MS) throw new RangeError(`Cannot go on: image ${iteration} of seed ${seed} took ${took} ms`);
    if (statSync(path).blocks > 64 * 1024)
      throw new RangeError(`Cannot go on: image ${iteration} of seed ${seed} is huge`);
  }
  readFileSync(path);
  return report;
}

/** A few changed bytes where the tables are, mostly in their fields' ends; sometimes a file that is cut off. */
function damage(image: Uint8Array, random: Random): Uint8Array {
  for (let change = random.below(6); change >= 0; change--) {
    const region = random.pick([0, 0, 0, 512, 1024, 1536, 2048]);
    const at = region + random.below(region === 0 ? 112 : 64);
    const value = random.pick([0, 1, 0x7f, 0x80, 0xff, 0x40, random.u32() & 0xff]);
    if (random.oneIn(4)) image.fill(value, at, at + 1 + random.below(8));
    else image[at] = value;
  }
  return random.oneIn(8) ? image.subarray(0, random.below(image.length)) : image;
}

function tryOpen(path: string, readOnly: boolean): OpenDisk | undefined {
  try {
    return openDisk({ path, format: 'qcow2', readOnly, direct: false, sync: 'none' });
  } catch (error) {
    if (error instanceof KrunError) return undefined;
    throw error;
  }
}

async function tryRequest(disk: OpenDisk, random: Random, mistake: Error | undefined): Promise<boolean> {
  const sectors = Math.min(disk.length / 512, 2 ** 40);
  if (sectors < 1) return false;
  const offset = random.below(random.oneIn(3) ? sectors : Math.min(sectors, 64)) * 512;
  const length = Math.min(1 + random.below(random.pick([1, 8, 64])), sectors - offset / 512) * 512;
  const bytes = new Uint8Array(length);
  try {
    if (mistake !== undefined && random.oneIn(50)) throw mistake;
    const kind = random.below(disk.readOnly ? 2 : 6);
    if (kind < 2) await disk.read(offset, [bytes], { alive: true });
    else if (kind < 4) await disk.write(offset, [bytes.fill(random.u32())]);
    else if (kind === 4) await disk.writeZeroes(offset, length, random.oneIn(2));
    else await disk.discard(offset, length);
    if (random.oneIn(4)) await disk.flush();
    return true;
  } catch (error) {
    if (isHonest(error)) return false;
    throw error;
  }
}

async function closed(disk: OpenDisk): Promise<void> {
  try {
    disk.close();
  } catch (error) {
    if (!isHonest(error)) throw error;
  }
}

/** The image or the host said no; anything else is a mistake of ours. */
function isHonest(error: unknown): boolean {
  if (error instanceof ImageIoError) return true;
  const { code } = error as NodeJS.ErrnoException;
  return code === 'EFBIG' || code === 'EINVAL' || code === 'ENOSPC';
}
