import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import type { DiskSpec } from '../../config/spec.ts';
import type { Random } from '../../testing/random.ts';
import { type OpenDisk, openDisk } from './open-disk.ts';
import type { Done } from './disk-image.ts';

/** A folder for images that is gone afterwards. */
export const folder = mkdtempSync(join(tmpdir(), 'krun-disk-'));
after(() => rmSync(folder, { recursive: true }));

/** Why tests with real images are left out, or false. */
export const skipQemu =
  spawnSync('qemu-img', ['--version']).status === 0 ? (false as const) : 'no qemu-img here (Debian: qemu-utils)';

export const LEASE = { alive: true };

export function at(name: string): string {
  return join(folder, name);
}

export function qemuImg(...args: string[]): string {
  return execFileSync('qemu-img', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], cwd: folder });
}

/** Runs one command of qemu-io on an image; what it prints. */
export function qemuIo(path: string, command: string): string {
  return execFileSync('qemu-io', ['-f', 'qcow2', '-d', 'unmap', '-c', command, path], { encoding: 'utf8' });
}

/** What `qemu-img check` counts: errors, and clusters that are leaked. */
export function check(path: string): { corruptions: number; leaks: number; output: string } {
  const { stdout, stderr } = spawnSync('qemu-img', ['check', '--output=json', path], { encoding: 'utf8' });
  const report = JSON.parse(stdout) as { corruptions?: number; leaks?: number; 'check-errors': number };
  const output = stderr.slice(0, 2000);
  return { corruptions: (report.corruptions ?? 0) + report['check-errors'], leaks: report.leaks ?? 0, output };
}

/** The guest's view of an image, as QEMU sees it. */
export function qemuContents(path: string, format: string): Uint8Array {
  qemuImg('convert', '-f', format, '-O', 'raw', path, at('contents.raw'));
  return readFileSync(at('contents.raw'));
}

export function open(path: string, options: Partial<DiskSpec> = {}): OpenDisk {
  return openDisk({ path, format: 'qcow2', readOnly: false, direct: false, sync: 'full', ...options });
}

export async function readAll(disk: OpenDisk): Promise<Uint8Array> {
  const bytes = new Uint8Array(disk.length);
  await disk.read(0, [bytes], LEASE);
  return bytes;
}

/** Bytes that differ in every sector and compress a little. */
export function pattern(random: Random, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let from = 0; from < length; from += 512) {
    const [a, b] = [random.u32(), random.u32()];
    for (let index = from; index < Math.min(length, from + 512); index++)
      bytes[index] = index % 3 === 0 ? a >>> (index % 24) : b;
  }
  return bytes;
}

export function writeRaw(name: string, bytes: Uint8Array): string {
  writeFileSync(at(name), bytes);
  return at(name);
}

/** Random requests against a disk and an array that says what must be in it. Several are under way at a time. */
export async function exercise(disk: OpenDisk, model: Uint8Array, random: Random, rounds: number): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    const batch: Done[] = [];
    const taken: [number, number][] = [];
    for (let request = random.below(6); request >= 0; request--) {
      const range = someRange(random, model.length);
      if (taken.some(([from, end]) => range.offset < end && from < range.offset + range.length)) continue;
      taken.push([range.offset, range.offset + range.length]);
      batch.push(oneRequest(disk, model, random, range));
    }
    await Promise.all(batch);
  }
}

function oneRequest(disk: OpenDisk, model: Uint8Array, random: Random, { offset, length }: Range): Done {
  switch (random.below(10)) {
    case 0:
      model.fill(0, offset, offset + length);
      return disk.writeZeroes(offset, length, random.oneIn(2));
    case 1: {
      // What is there afterwards is the disk's choice, but it is one of two.
      const now = async (): Promise<void> => {
        await disk.discard(offset, length);
        const bytes = new Uint8Array(length);
        await disk.read(offset, [bytes], LEASE);
        const old = model.subarray(offset, offset + length);
        bytes.forEach((byte, index) => {
          if (byte !== 0 && byte !== old[index]) throw new Error(`discard left ${byte} at ${offset + index}`);
        });
        model.set(bytes, offset);
      };
      return now();
    }
    case 2:
      return disk.flush();
    case 3:
    case 4: {
      const compare = async (): Promise<void> => {
        const bytes = new Uint8Array(length);
        const expected = model.slice(offset, offset + length);
        await disk.read(offset, split(bytes, random), LEASE);
        const wrong = bytes.findIndex((byte, index) => byte !== expected[index]);
        if (wrong >= 0) throw new Error(`read ${bytes[wrong]} at ${offset + wrong}, expected ${expected[wrong]}`);
      };
      return compare();
    }
    default: {
      const bytes = pattern(random, length);
      model.set(bytes, offset);
      return disk.write(offset, split(bytes, random));
    }
  }
}

interface Range {
  readonly offset: number;
  readonly length: number;
}

function someRange(random: Random, diskLength: number): Range {
  const sectors = diskLength / 512;
  const first = random.below(sectors);
  const most = random.pick([1, 8, 8, 64, 300, sectors]);
  return { offset: first * 512, length: Math.min(1 + random.below(most), sectors - first) * 512 };
}

/** The same bytes as up to three buffers. */
function split(bytes: Uint8Array, random: Random): Uint8Array[] {
  const [a, b] = [random.below(bytes.length + 1), random.below(bytes.length + 1)].sort((x, y) => x - y);
  return [bytes.subarray(0, a), bytes.subarray(a, b), bytes.subarray(b)];
}
