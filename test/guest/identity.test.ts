import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { describeKernel } from 'krun';
import { skipReason } from '../boot/guest.ts';

const OTHER = 65534;
const skip = (await skipReason()) || (process.getuid?.() === 0 ? false : 'only root can become somebody else');
const options = { skip, timeout: 180_000 };
const folder = mkdtempSync(join(tmpdir(), 'krun-identity-'));
after(() => rmSync(folder, { recursive: true }));

/** User and group of every thread of a process: real, effective, saved and for files. */
function identities(pid: number): string[] {
  const task = `/proc/${pid}/task`;
  const lines = readdirSync(task).flatMap((tid) => {
    return readFileSync(join(task, tid, 'status'), 'latin1').match(/^(Uid|Gid):.*$/gm) ?? [];
  });
  return [...new Set(lines.map((line) => line.replaceAll('\t', ' ')))].sort();
}

/** The kernel where everybody can read it, which nobody's cache is. */
async function openKernel(): Promise<string> {
  const { path = '' } = await describeKernel();
  const copy = join(folder, 'libkrunfw.so.5');
  copyFileSync(path, copy);
  chmodSync(copy, 0o644);
  return copy;
}

test(
  'krun_setuid and krun_setgid: every thread of the VMM is somebody else before shares are opened',
  options,
  async () => {
    chmodSync(folder, 0o755);
    const share = join(folder, 'share');
    mkdirSync(share);
    chmodSync(share, 0o777);
    const secret = join(folder, 'secret');
    writeFileSync(secret, 'only root reads this');
    chmodSync(secret, 0o600);
    const script = `mount -t tmpfs t /mnt && mkdir /mnt/s && mount -t virtiofs share /mnt/s
    echo of the guest > /mnt/s/made; cat ${secret} 2>/dev/null || echo refused; cat; echo end`;
    const file = join(folder, 'enter.mjs');
    writeFileSync(
      file,
      `import * as k from ${JSON.stringify(import.meta.resolve('krun/capi'))};
    const must = (value) => { if (value < 0) { console.error('failed', value); process.exit(99); } return value; };
    const ctx = must(k.krun_create_ctx());
    must(k.krun_set_vm_config(ctx, 1, 256));
    must(k.krun_add_virtiofs3(ctx, k.KRUN_FS_ROOT_TAG, '/', 0, true));
    must(k.krun_add_virtiofs(ctx, 'share', ${JSON.stringify(share)}));
    must(k.krun_setgid(ctx, ${OTHER}));
    must(k.krun_setuid(ctx, ${OTHER}));
    must(k.krun_set_exec(ctx, '/bin/sh', ['-c', ${JSON.stringify(script)}], ['PATH=/usr/bin:/bin']));
    process.exit(-must(await k.krun_start_enter(ctx)));`,
    );
    const env = { ...process.env, KRUN_FIRMWARE: await openKernel() };
    const child = spawn(process.execPath, [file], { stdio: ['pipe', 'pipe', 'inherit'], env, timeout: 120_000 });
    let seen: string[] = [];
    child.stdout.once('data', () => {
      seen = identities(child.pid ?? 0);
      child.stdin.end('said while it ran\n');
    });
    const [stdout, [code]] = await Promise.all([text(child.stdout), once(child, 'close')]);
    assert.deepEqual([stdout, code], ['refused\nsaid while it ran\nend\n', 0]);
    const four = (id: number): string => new Array(4).fill(id).join(' ');
    assert.deepEqual(seen, [`Gid: ${four(OTHER)}`, `Uid: ${four(OTHER)}`]);
    const { uid, gid } = statSync(join(share, 'made'));
    assert.deepEqual([uid, gid], [OTHER, OTHER]);
  },
);

test('krun_setuid that the host refuses is the answer of krun_start_enter', options, async () => {
  const file = join(folder, 'refused.mjs');
  writeFileSync(
    file,
    `import * as k from ${JSON.stringify(import.meta.resolve('krun/capi'))};
    process.setgid(${OTHER}); process.setuid(${OTHER});
    const ctx = k.krun_create_ctx();
    k.krun_add_virtiofs3(ctx, k.KRUN_FS_ROOT_TAG, '/', 0, true);
    k.krun_setuid(ctx, 0);
    k.krun_set_exec(ctx, '/bin/true', null, null);
    console.log(await k.krun_start_enter(ctx));`,
  );
  const env = { ...process.env, KRUN_FIRMWARE: await openKernel() };
  const child = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'inherit'], env, timeout: 60_000 });
  assert.equal(await text(child.stdout), '-1\n');
});
