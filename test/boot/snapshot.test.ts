// The guest has no file system; snapshot-share.test.ts moves one that has.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { Random } from 'krun/testing';
import { findFirmware } from '../../dist/host/kernel/provider.js';
import type { GuestKernel } from '../../dist/machine/resources.js';
import { restoreInto, type SoftMachine, snapshotOf, softMachine, VirtualHost } from '../soft-machine.ts';
import { skipReason } from './guest.ts';

const options = { skip: await skipReason(), timeout: 300_000 };
const MIB = 1 << 20;
const SEED = 20;

async function boot(kernel: GuestKernel, host: VirtualHost): Promise<SoftMachine> {
  const made = await softMachine({ kernel, host, memoryBytes: 96 * MIB, extraArguments: ['loglevel=8'] });
  host.vcpu = made.vcpu;
  return made;
}

async function guestKernel(): Promise<GuestKernel> {
  const { image, loadAddress, entryAddress } = await findFirmware();
  return { bytes: image, loadAddress, entry: entryAddress };
}

/** Everything that the machine was when it ended. */
function digest({ vm, vcpu }: SoftMachine): string {
  const hash = createHash('sha256');
  for (const { length } of vm.memory.regions) hash.update(vm.memory.bytes(0, length));
  return hash.update(vcpu.cpu.save().state.slice(0, 0xf0)).digest('hex');
}

interface Ended {
  readonly output: string;
  readonly end: unknown;
  readonly digest: string;
  readonly retired: number;
}

/**
 * Drops translations of addresses and of code, which a CPU may do at any time: repeated string instructions take more of the
 * instruction count, which is the clock here, when they miss the TLB or write beside code.
 */
function forget({ vm, vcpu }: SoftMachine): void {
  for (const { gpa, length } of vm.memory.regions) vm.memory.wrote(gpa, length);
  vcpu.cpu.mmu.flushAll();
}

/** Runs to the end without a stop, and forgets translations where the other run moves. */
async function runWhole(kernel: GuestKernel, points: readonly number[]): Promise<Ended> {
  const host = new VirtualHost();
  const here = await boot(kernel, host);
  let next = 0;
  host.onSlice = (retired) => {
    if (retired < (points[next] ?? Number.POSITIVE_INFINITY)) return;
    forget(here);
    next++;
  };
  const end = await here.machine.run();
  return { output: here.output(), end, digest: digest(here), retired: host.retired };
}

/** Runs to the end, moving into a new machine each time so many instructions are done. */
async function runInPieces(kernel: GuestKernel, stops: readonly number[], where: 'onSlice' | 'onLook'): Promise<Ended> {
  let output = '';
  let before: VirtualHost | undefined;
  let saved: ReturnType<typeof snapshotOf> | undefined;
  for (const stop of [...stops, Number.POSITIVE_INFINITY]) {
    const host: VirtualHost = new VirtualHost(before);
    const here = await boot(kernel, host);
    if (saved !== undefined) restoreInto(here, saved);
    host[where] = (retired) => {
      if (retired >= stop) here.machine.stop();
    };
    const end = await here.machine.run();
    output += here.output();
    if (stop === Number.POSITIVE_INFINITY) return { output, end, digest: digest(here), retired: host.retired };
    assert.equal(end.reason, 'stopped');
    saved = snapshotOf(here);
    before = host;
    here.machine.close();
  }
  throw new Error('Cannot go on: there is no last piece');
}

/** Points before the end of any boot of a libkrunfw kernel. */
function randomStops(count: number, seed: number): number[] {
  const random = new Random(seed);
  return Array.from({ length: count }, () => random.below(90_000_000)).sort((a, b) => a - b);
}

/** Without what depends on when exactly interrupts come. */
function withoutNumbers(output: string): string {
  return output.replaceAll(/[0-9]+/g, '#').replaceAll(/ +/g, ' ');
}

test('a boot that moves into new machines ends with the same output, registers and memory', options, async (t) => {
  const kernel = await guestKernel();
  const stops = randomStops(5, SEED);
  const whole = await runWhole(kernel, stops);
  assert.equal((whole.end as { reason: string }).reason, 'reset');
  assert.match(whole.output, /Kernel panic - not syncing: VFS: Unable to mount root fs/);

  await t.test('between two slices, at random points: to the last bit', async () => {
    const pieces = await runInPieces(kernel, stops, 'onSlice');
    assert.equal(pieces.output, whole.output, `stopped at ${stops}`);
    assert.deepEqual(pieces, whole);
  });

  await t.test('inside a slice, so that interrupts come at other instructions: the same text', async () => {
    const inside = randomStops(3, SEED + 1);
    const pieces = await runInPieces(kernel, inside, 'onLook');
    assert.equal(withoutNumbers(pieces.output), withoutNumbers(whole.output), `stopped at ${inside}`);
    assert.deepEqual(pieces.end, whole.end);
  });
});

test('a state of another size or version is refused', async () => {
  const kernel = { bytes: Uint8Array.of(0xf4), loadAddress: 0x100000, entry: 0x100000 };
  const small = await softMachine({ kernel, host: new VirtualHost(), memoryBytes: 2 * MIB });
  const large = await softMachine({ kernel, host: new VirtualHost(), memoryBytes: 4 * MIB });
  const saved = snapshotOf(small);
  assert.throws(
    () => restoreInto(large, saved),
    /Cannot restore a VM of \d+ bytes and 1 vCPUs: state has version 1, engine soft/,
  );
  const other = { ...saved, vm: { ...saved.vm, version: 2 as 1 } };
  assert.throws(() => restoreInto(small, other), /state has version 2/);
});
