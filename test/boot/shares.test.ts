import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { runGuest, skipReason } from './guest.ts';

const options = { skip: await skipReason(), timeout: 180_000 };
const folder = mkdtempSync(join(tmpdir(), 'krun-shares-'));
after(() => rmSync(folder, { recursive: true }));

test('a read-only root cannot be written, whatever the guest tries', options, async () => {
  const script =
    'touch /krun-was-here || echo refused; mount -o remount,rw / 2>&1; touch /krun-was-here || echo refused';
  const { stdout } = await runGuest({ command: ['/bin/sh', '-c', script] });
  assert.equal(stdout.match(/refused/g)?.length, 2, stdout);
  assert.equal(existsSync('/krun-was-here'), false);
});

test(
  'volumes are mounted where the root has no such directory, and only a writable one takes writes',
  options,
  async () => {
    writeFileSync(join(folder, 'in'), 'from the host');
    const script = 'cat /vol-rw/in; echo from the guest > /vol-rw/out; touch /vol-ro/deep/no || echo refused';
    const { stdout, code } = await runGuest({
      command: ['/bin/sh', '-c', script],
      volumes: [
        { hostPath: folder, guestPath: '/vol-rw' },
        { hostPath: folder, guestPath: '/vol-ro/deep', readOnly: true },
      ],
    });
    assert.deepEqual([stdout, code], ['from the hostrefused\n', 0]);
    assert.equal(readFileSync(join(folder, 'out'), 'utf8'), 'from the guest\n');
    assert.equal(existsSync(join(folder, 'no')), false);
    assert.equal(existsSync('/vol-rw'), false);
  },
);

test('the init program and its configuration are nowhere to be found once the command runs', options, async () => {
  const { stdout } = await runGuest({
    command: ['/bin/sh', '-c', 'ls -a / | grep -c krun; cat /.krun_exec /init.krun 2>&1 | wc -l'],
  });
  assert.equal(stdout, '0\n2\n');
});
