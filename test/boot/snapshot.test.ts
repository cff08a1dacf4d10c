// The guest has no file system: what a virtio-fs server knows of open nodes is not part of a snapshot yet.
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

/** Runs to the end, moving into a new machine each time so many instructions are done. */
async function runInPieces(kernel: GuestKernel, stops: readonly number[]) {
  let output = '';
  let before: VirtualHost | undefined;
  let saved: ReturnType<typeof snapshotOf> | undefined;
  for (const stop of [...stops, Number.POSITIVE_INFINITY]) {
    const host: VirtualHost = new VirtualHost(before);
    const here = await boot(kernel, host);
    if (saved !== undefined) restoreInto(here, saved);
    host.onLook = (retired) => {
      if (retired >= stop) here.machine.stop();
    };
    const end = await here.machine.run();
    output += here.output();
    const result = { output, end, digest: digest(here), retired: host.retired };
    if (end.reason !== 'stopped') return result;
    saved = snapshotOf(here);
    before = host;
    here.machine.close();
  }
  throw new Error('Cannot go on: the guest did not end');
}

test('a boot that moves into a new machine at random points ends with the same output, registers and memory', options, async () => {
  const kernel = await guestKernel();
  const whole = await runInPieces(kernel, []);
  assert.equal(whole.end.reason, 'reset');
  assert.match(whole.output, /Kernel panic - not syncing: VFS: Unable to mount root fs/);
  const random = new Random(SEED);
  const stops = Array.from({ length: 5 }, () => random.below(whole.retired)).sort((a, b) => a - b);
  const pieces = await runInPieces(kernel, stops);
  assert.equal(pieces.output, whole.output, `output after stops at ${stops}`);
  assert.deepEqual(pieces, whole);
});
