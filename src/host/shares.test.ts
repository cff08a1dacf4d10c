import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { mountPoints, openShare } from './shares.ts';

const root = mkdtempSync(join(tmpdir(), 'krun-shares-'));
mkdirSync(join(root, 'srv'));
symlinkSync('/nowhere', join(root, 'link'));
after(() => rmSync(root, { recursive: true }));

test('a mount point is made virtually only where the root has nothing of that name', () => {
  const paths = (...list: string[]) => mountPoints(root, list).map(({ path }) => path);
  assert.deepEqual(paths('/data'), ['data']);
  assert.deepEqual(paths('/data/a/b', '/data/c'), ['data', 'data/a', 'data/a/b', 'data/c']);
  assert.deepEqual(paths('/srv', '/srv/x', '/link/y', '/../etc', '/'), []);
});

test('without a host directory every mount point is made', () => {
  assert.deepEqual(
    mountPoints(null, ['/srv']).map(({ path }) => path),
    ['srv'],
  );
});

test('a share that cannot be opened says which and why', () => {
  const share = { tag: 't', readOnly: false, init: false, overlay: [] };
  assert.throws(() => openShare({ ...share, path: join(root, 'absent') }, []), { code: 'ERR_SHARE' });
  assert.throws(
    () => openShare({ ...share, path: null, overlay: [{ path: 'a/b', mode: 0o644, oneShot: false }] }, []),
    {
      code: 'ERR_OVERLAY',
    },
  );
});
