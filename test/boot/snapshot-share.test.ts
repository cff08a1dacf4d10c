import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Random } from 'krun/testing';
import { guestFiles } from '../../dist/api/guest-files.js';
import { resolveConfig } from '../../dist/config/resolve.js';
import { findFirmware } from '../../dist/host/kernel/provider.js';
import { openShare } from '../../dist/host/shares.js';
import type { GuestKernel } from '../../dist/machine/resources.js';
import { restoreInto, type SoftMachine, snapshotOf, softMachine, VirtualHost } from '../soft-machine.ts';
import { skipReason } from './guest.ts';

const options = { skip: await skipReason(), timeout: 300_000 };
const MIB = 1 << 20;
const SEED = 31;
const STOPS = 6;

/** Works on files and directories of the shared root all the time, with some of them open. */
const script = (folder: string): string => `cd ${folder}; exec 3< read 4>> appended; head -c 10 <&3
i=0; while test $i -lt 12; do i=$((i + 1))
  echo "line $i" >&4; mkdir -p d/$i; echo $i > d/$i/f; cat d/*/f | md5sum; mv d/$i/f d/$i/g; ls d | wc -l
done; tail -c 10 <&3; cat <&3 | md5sum; md5sum < appended; rm -r d; echo end`;

function config(folder: string) {
  return resolveConfig({
    root: '/',
    console: { output: 'terminal', input: 'none', error: 'none' },
    shutdown: false,
    command: ['/bin/sh', '-c', script(folder)],
    env: ['PATH=/usr/bin:/bin'],
  });
}

async function boot(kernel: GuestKernel, host: VirtualHost, folder: string) {
  const spec = config(folder);
  const [root] = spec.shares;
  assert.ok(root);
  const fileSystem = openShare(root, guestFiles(spec));
  const shares = [{ tag: root.tag, fileSystem }];
  const made = await softMachine({ kernel, host, memoryBytes: 128 * MIB, shares });
  host.vcpu = made.vcpu;
  return { made, close: () => fileSystem.close() };
}

/** Runs to the end, moving into a new machine with a new share each time so many instructions are done. */
async function run(kernel: GuestKernel, folder: string, stops: readonly number[]) {
  let output = '';
  let before: VirtualHost | undefined;
  let saved: ReturnType<typeof snapshotOf> | undefined;
  for (const stop of [...stops, Number.POSITIVE_INFINITY]) {
    const host: VirtualHost = new VirtualHost(before);
    const { made, close } = await boot(kernel, host, folder);
    if (saved !== undefined) restoreInto(made, saved);
    host.onSlice = (retired) => {
      if (retired >= stop) made.machine.stop();
    };
    const end = await made.machine.run();
    output += made.output();
    if (end.reason === 'stopped') saved = snapshotOf(made as SoftMachine);
    before = host;
    made.machine.close();
    close();
    if (end.reason !== 'stopped') return { output, end, retired: host.retired };
  }
  throw new Error('Cannot go on: there is no last piece');
}

function prepare(): string {
  const folder = mkdtempSync(join(tmpdir(), 'krun-moved-'));
  mkdirSync(join(folder, 'd'));
  writeFileSync(
    join(folder, 'read'),
    new Random(1).bytes(300_000).map((byte) => 32 + (byte % 90)),
  );
  writeFileSync(join(folder, 'appended'), '');
  return folder;
}

test(
  'a guest with open files on virtio-fs moves into new machines at random points and notices nothing',
  options,
  async () => {
    const { image, loadAddress, entryAddress } = await findFirmware();
    const kernel = { bytes: image, loadAddress, entry: entryAddress };
    const [whole, moved] = [prepare(), prepare()];
    try {
      const one = await run(kernel, whole, []);
      assert.match(one.output, /end\r?\n$/);
      const random = new Random(SEED);
      // Half of the points lie in the second half of the run, where init and the script are at work.
      const points = Array.from({ length: STOPS }, (_, index) => {
        const from = index % 2 === 0 ? 0.5 : 0.1;
        return Math.floor(one.retired * (from + (0.98 - from) * (random.below(1000) / 1000)));
      }).sort((a, b) => a - b);
      const pieces = await run(kernel, moved, points);
      assert.equal(pieces.output, one.output, `moved at ${points} of ${one.retired}`);
      assert.deepEqual(pieces.end, one.end);
      const hash = (folder: string) =>
        createHash('md5')
          .update(readFileSync(join(folder, 'appended')))
          .digest('hex');
      assert.equal(hash(moved), hash(whole));
    } finally {
      for (const folder of [whole, moved]) rmSync(folder, { recursive: true });
    }
  },
);
