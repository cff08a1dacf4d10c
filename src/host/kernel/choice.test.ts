import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { syntheticFirmware } from '../../testing/synthetic-firmware.ts';
import { cacheError } from './kernel-error.ts';
import { describeFirmware, type FirmwareOptions, findFirmware } from './provider.ts';
import { pathsInLoaderCache, systemFirmwarePaths } from './system-libraries.ts';
import { PINNED_FIRMWARE } from './pinned-package.ts';

const work = mkdtempSync(join(tmpdir(), 'krun-choice-'));
after(() => rmSync(work, { recursive: true, force: true }));

function write(name: string, bytes: Uint8Array | string): string {
  const path = join(work, name);
  writeFileSync(path, bytes);
  return path;
}

const good = write('good.so', syntheticFirmware({ release: '6.12.7' }));
const other = write('other.so', syntheticFirmware({ release: '6.12.8' }));
const arm = write('arm.so', syntheticFirmware({ machine: 183 }));
const old = write('old.so', syntheticFirmware({ abi: 4 }));
const text = write('text.so', 'no library');

const settings = (env: Record<string, string>, more: FirmwareOptions): FirmwareOptions => ({
  env: { XDG_CACHE_HOME: join(work, 'empty'), ...env },
  npm: '/nonexistent/npm',
  systemPaths: [],
  ...more,
});

test('the option wins over the environment, the environment over an installed library', async () => {
  const env = { KRUN_FIRMWARE: other };
  const byOption = await findFirmware(settings(env, { firmware: good, systemPaths: [arm] }));
  assert.deepEqual([byOption.source, byOption.path, byOption.release], ['option', good, '6.12.7']);
  const byEnv = await findFirmware(settings(env, { systemPaths: [good] }));
  assert.deepEqual([byEnv.source, byEnv.path], ['env', other]);
  assert.match(byEnv.why, /KRUN_FIRMWARE/);
});

test('an installed library that does not fit is passed over, and the report says why', async () => {
  const systemPaths = [join(work, 'absent.so'), arm, old, text, good];
  const { choice, candidates } = await describeFirmware(settings({}, { systemPaths }));
  assert.deepEqual([choice?.source, choice?.path], ['system', good]);
  assert.deepEqual(
    candidates.map(({ path, state }) => [path, state.replace(/:.*: /, ': ')]),
    [
      [arm, 'skipped: object for machine 183, not x86-64'],
      [old, 'skipped: its ABI is 4'],
      [text, 'skipped: file of 10 bytes'],
      [good, 'used: it is installed here'],
    ],
  );
});

test('a named file that is absent or no libkrunfw is an error, never passed over', async () => {
  const named = (firmware: string) => findFirmware(settings({}, { firmware, systemPaths: [good] }));
  await assert.rejects(named(join(work, 'absent.so')), { code: 'ERR_KERNEL_NOT_FOUND', message: /ENOENT/ });
  await assert.rejects(named(work), { code: 'ERR_KERNEL_NOT_FOUND', message: /EISDIR/ });
  await assert.rejects(named(text), { code: 'ERR_KERNEL_FORMAT' });
  await assert.rejects(findFirmware(settings({ KRUN_FIRMWARE: arm }, {})), {
    code: 'ERR_KERNEL_FORMAT',
    message: /183/,
  });
});

test('describeFirmware fetches nothing and writes nothing', async () => {
  const { choice, wouldFetch } = await describeFirmware(settings({}, {}));
  assert.equal(choice, undefined);
  assert.deepEqual(
    [wouldFetch?.bytes, wouldFetch?.package],
    [42_820_523, '@superradcompany/microsandbox-linux-x64-gnu@0.7.2'],
  );
  assert.ok(!readdirSync(work).includes('empty'));
});

test('a relative XDG_CACHE_HOME counts as unset', async () => {
  const { wouldFetch } = await describeFirmware(settings({ XDG_CACHE_HOME: 'relative', HOME: work }, {}));
  assert.equal(wouldFetch?.into, join(work, '.cache/krun/firmware', `libkrunfw-${PINNED_FIRMWARE.fileSha256}.so`));
});

/** A loader cache with one entry per library. */
function loaderCache(...libraries: ReadonlyArray<readonly [name: string, path: string]>): Buffer {
  const header = Buffer.alloc(48);
  header.write('glibc-ld.so.cache1.1');
  header.writeUInt32LE(libraries.length, 20);
  const strings: string[] = [];
  const entries = libraries.map((library) => {
    const entry = Buffer.alloc(24);
    library.forEach((string, index) => {
      entry.writeUInt32LE(48 + 24 * libraries.length + strings.join('').length, 4 + 4 * index);
      strings.push(`${string}\0`);
    });
    return entry;
  });
  return Buffer.concat([header, ...entries, Buffer.from(strings.join(''))]);
}

test('pathsInLoaderCache finds a library by its exact name', () => {
  const cache = loaderCache(['libk.so.5', '/a/libk.so.5'], ['libk.so.50', '/b'], ['libk.so.5', '/c/libk.so.5']);
  assert.deepEqual(pathsInLoaderCache(cache, 'libk.so.5'), ['/a/libk.so.5', '/c/libk.so.5']);
  assert.deepEqual(pathsInLoaderCache(Buffer.concat([Buffer.from('ld.so-1.7.0 and more'), cache]), 'libk.so.50'), [
    '/b',
  ]);
});

test('pathsInLoaderCache survives a damaged cache', () => {
  const cache = loaderCache(['libk.so.5', '/a/libk.so.5']);
  for (let length = 0; length < cache.length; length++)
    assert.ok(pathsInLoaderCache(cache.subarray(0, length), 'libk.so.5').length <= 1);
  cache.writeUInt32LE(0xffffffff, 20);
  cache.writeUInt32LE(0xffffffff, 52);
  assert.deepEqual(pathsInLoaderCache(cache, 'libk.so.5'), []);
});

test('LD_LIBRARY_PATH comes first, then the loader cache, then the usual directories', async () => {
  const cache = write('ld.so.cache', loaderCache(['libkrunfw.so.5', '/opt/x/libkrunfw.so.5']));
  const paths = await systemFirmwarePaths({ LD_LIBRARY_PATH: '/first:relative::' }, cache);
  assert.deepEqual(paths.slice(0, 3), [
    '/first/libkrunfw.so.5',
    '/opt/x/libkrunfw.so.5',
    '/usr/local/lib/libkrunfw.so.5',
  ]);
  const without = await systemFirmwarePaths({}, join(work, 'absent'));
  assert.equal(without[0], '/usr/local/lib/libkrunfw.so.5');
});

test('errno names of a full or closed disk become codes of ours', () => {
  const error = (code: string) => Object.assign(new Error(code), { code });
  const code = (name: string) => (cacheError('write x', error(name)) as { code?: string }).code;
  assert.deepEqual(['ENOSPC', 'EDQUOT', 'EROFS', 'EACCES'].map(code), [
    'ERR_KERNEL_DISK_FULL',
    'ERR_KERNEL_DISK_FULL',
    'ERR_KERNEL_CACHE',
    'ERR_KERNEL_CACHE',
  ]);
});
