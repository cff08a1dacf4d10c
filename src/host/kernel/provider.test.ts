import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { syntheticFirmware } from '../../testing/synthetic-firmware.ts';
import { tarEntry, tarFile } from '../../testing/tar.ts';
import type { FetchProgress } from './fetch-firmware.ts';
import type { PinnedPackage } from './pinned-package.ts';
import { describeFirmware, type FirmwareOptions, findFirmware } from './provider.ts';

/** A small package as a registry would serve it, and the pin that describes it. */
function packageFixture() {
  const file = syntheticFirmware({ release: '6.12.1-fixture', size: 0x40000 });
  const noise = Buffer.from(Array.from({ length: 300_000 }, (_, i) => Math.imul(i, 2_654_435_761) >>> 24));
  const tarball = gzipSync(tarFile(tarEntry('package/bin/x', noise), tarEntry('package/lib/fw.so', file)), {
    level: 1,
  });
  const pin: PinnedPackage = {
    ...{ name: '@scope/fixture', version: '1.0.0', member: 'package/lib/fw.so' },
    tarballBytes: tarball.length,
    tarballSha512: createHash('sha512').update(tarball).digest('base64'),
    fileBytes: file.length,
    fileSha256: createHash('sha256').update(file).digest('hex'),
  };
  return { pin, tarball, file };
}

const { pin, tarball, file } = packageFixture();
const work = mkdtempSync(join(tmpdir(), 'krun-kernel-'));
const servers: Server[] = [];
after(() => {
  for (const server of servers) server.close();
  rmSync(work, { recursive: true, force: true });
});

let home = '';
let cacheDirectory = '';
beforeEach(() => {
  home = mkdtempSync(join(work, 'home-'));
  cacheDirectory = join(home, 'krun/firmware');
});

const cachedFile = (): string => join(cacheDirectory, `libkrunfw-${pin.fileSha256}.so`);

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  servers.push(server);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/registry`;
}

/** An npm that prints `registry` for `npm config get`, and runs `pack` (shell, $into is the directory) for `npm pack`. */
function fakeNpm(registry: string, pack = 'echo npm error code ENOTFOUND >&2; exit 1'): string {
  const path = join(home, 'npm');
  const config = `printf '%s\\n' '@scope:registry=undefined' 'registry=${registry}' 'https-proxy=null' 'proxy=null' 'cafile=null'`;
  const script = `case "$1" in config) ${config};; pack) for into; do :; done; ${pack};; esac`;
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

const options = (npm: string, more: FirmwareOptions = {}): FirmwareOptions => ({
  ...{ env: { PATH: process.env['PATH'], XDG_CACHE_HOME: home }, npm, pin, systemPaths: [] },
  ...more,
});

const leftovers = (): string[] => readdirSync(cacheDirectory);
const whole: RequestListener = (_, response) => void response.end(tarball);
const NOWHERE = 'http://127.0.0.1:1/';

test('a kernel is fetched once, then comes from the cache', async () => {
  let requests = 0;
  const registry = await serve((request, response) => {
    requests += 1;
    assert.equal(request.url, '/registry/@scope/fixture/-/fixture-1.0.0.tgz');
    response.end(tarball);
  });
  const progress: FetchProgress[] = [];
  const first = await findFirmware(options(fakeNpm(registry), { onProgress: (p) => progress.push(p) }));
  assert.deepEqual([first.source, first.path, first.release], ['fetched', cachedFile(), '6.12.1-fixture']);
  assert.deepEqual(progress.at(-1), { receivedBytes: tarball.length, totalBytes: tarball.length });
  const second = await findFirmware(options('/nonexistent/npm'));
  assert.deepEqual([second.source, requests], ['cache', 1]);
  assert.deepEqual(second.image, first.image);
  assert.deepEqual(leftovers(), [`libkrunfw-${pin.fileSha256}.so`]);
});

test('redirects are followed, five at most', async () => {
  const good = await serve((request, response) => {
    if (request.url?.endsWith('/elsewhere')) response.end(tarball);
    else response.writeHead(302, { location: '/elsewhere' }).end();
  });
  assert.equal((await findFirmware(options(fakeNpm(good)))).source, 'fetched');
  rmSync(cachedFile());
  const loop = await serve((_, response) => void response.writeHead(302, { location: '/again' }).end());
  await assert.rejects(findFirmware(options(fakeNpm(loop))), { code: 'ERR_KERNEL_DOWNLOAD', message: /redirects/ });
});

test('npm pack takes over when the registry refuses a plain GET', async () => {
  const registry = await serve((_, response) => void response.writeHead(401).end());
  writeFileSync(join(home, 'source.tgz'), tarball);
  const npm = fakeNpm(registry, `cp ${join(home, 'source.tgz')} "$into/scope-fixture-1.0.0.tgz"`);
  assert.equal((await findFirmware(options(npm))).source, 'fetched');
  assert.deepEqual(leftovers(), [`libkrunfw-${pin.fileSha256}.so`]);
});

test('behind a proxy npm pack goes first', async () => {
  const registry = await serve(() => assert.fail('a direct request'));
  writeFileSync(join(home, 'source.tgz'), tarball);
  const npm = fakeNpm(registry, `cp ${join(home, 'source.tgz')} "$into/x.tgz"`);
  const env = { ...options(npm).env, https_proxy: 'http://127.0.0.1:1' };
  assert.equal((await findFirmware(options(npm, { env }))).source, 'fetched');
});

test('no network is ERR_KERNEL_OFFLINE with a hint, and leaves nothing behind', async () => {
  await assert.rejects(findFirmware(options(fakeNpm(NOWHERE))), {
    ...{ name: 'KernelError', code: 'ERR_KERNEL_OFFLINE', stage: 'kernel' },
    message: /127\.0\.0\.1:1: ECONNREFUSED; .*npm pack: ENOTFOUND/,
    hint: /KRUN_FIRMWARE/,
  });
  assert.deepEqual(leftovers(), []);
});

test('no npm at all does not hinder a direct download', async () => {
  const registry = await serve(whole);
  const env = { ...options('').env, npm_config_registry: registry };
  assert.equal((await findFirmware(options('/nonexistent/npm', { env }))).source, 'fetched');
});

test('other bytes than the pinned ones are ERR_KERNEL_INTEGRITY, and leave nothing behind', async () => {
  const flipped = Buffer.from(tarball);
  flipped[flipped.length - 1]! ^= 1; // the length field of the gzip trailer
  const other = gzipSync(tarFile(tarEntry('package/lib/fw.so', file)));
  const padded = Buffer.concat([tarball, Buffer.from('more')]);
  const page = Buffer.from('<html>please log in</html>'.padEnd(tarball.length));
  const samePlaceOtherFile = Buffer.concat([other, Buffer.alloc(tarball.length - other.length)]);
  for (const bytes of [flipped, padded, page, samePlaceOtherFile]) {
    const registry = await serve((_, response) => void response.end(bytes));
    await assert.rejects(findFirmware(options(fakeNpm(registry))), { code: 'ERR_KERNEL_INTEGRITY' });
    assert.deepEqual(leftovers(), []);
  }
});

test('a right tarball with a wrong file hash is ERR_KERNEL_INTEGRITY', async () => {
  const wrong = { ...pin, fileSha256: '0'.repeat(64) };
  const registry = await serve(whole);
  await assert.rejects(findFirmware(options(fakeNpm(registry), { pin: wrong })), {
    code: 'ERR_KERNEL_INTEGRITY',
    message: /SHA-256/,
  });
  assert.deepEqual(leftovers(), []);
});

test('a connection that breaks in the middle is ERR_KERNEL_DOWNLOAD', async () => {
  const broken = await serve((_, response) => {
    response.writeHead(200, { 'content-length': tarball.length });
    response.write(tarball.subarray(0, 100_000), () => response.destroy());
  });
  await assert.rejects(findFirmware(options(fakeNpm(broken))), { code: 'ERR_KERNEL_DOWNLOAD' });
  const short = await serve((_, response) => void response.end(tarball.subarray(0, 100_000)));
  await assert.rejects(findFirmware(options(fakeNpm(short))), { code: 'ERR_KERNEL_DOWNLOAD' });
  assert.deepEqual(leftovers(), []);
});

test('aborting rejects with the reason of the signal and leaves nothing behind', async () => {
  const controller = new AbortController();
  const slow = await serve((_, response) => void response.write(tarball.subarray(0, 1000)));
  const found = findFirmware(
    options(fakeNpm(slow), { signal: controller.signal, onProgress: () => controller.abort(new Error('enough')) }),
  );
  await assert.rejects(found, /^Error: enough$/);
  assert.deepEqual(leftovers(), []);
  await assert.rejects(findFirmware(options('npm', { signal: AbortSignal.abort(new Error('before')) })), /before/);
});

test('a damaged cached file is replaced', async () => {
  mkdirSync(cacheDirectory, { recursive: true });
  writeFileSync(cachedFile(), file.subarray(0, 1000));
  const { candidates, choice } = await describeFirmware(options('npm'));
  assert.deepEqual([choice, candidates.at(-1)?.state], [undefined, 'has other bytes']);
  assert.equal((await findFirmware(options(fakeNpm(await serve(whole))))).source, 'fetched');
  assert.equal((await findFirmware(options('npm'))).source, 'cache');
});

test('a cache that cannot be made is ERR_KERNEL_CACHE', async () => {
  writeFileSync(join(home, 'krun'), 'a file where a directory has to be');
  await assert.rejects(findFirmware(options(fakeNpm(NOWHERE))), {
    code: 'ERR_KERNEL_CACHE',
    message: /ENOTDIR|EEXIST/,
  });
});

const locks: ReadonlyArray<readonly [what: string, owner: object | string]> = [
  ['of a dead process', { pid: 2 ** 22 + 1, started: '1', host: hostname() }],
  ['of an earlier process with our number', { pid: process.pid, started: '1', host: hostname() }],
];
for (const [what, owner] of locks)
  test(`a lock ${what} is taken away`, async () => {
    mkdirSync(join(cacheDirectory, 'fetch-dead'), { recursive: true });
    writeFileSync(`${cachedFile()}.lock`, JSON.stringify(owner));
    assert.equal((await findFirmware(options(fakeNpm(await serve(whole))))).source, 'fetched');
    assert.deepEqual(leftovers(), [`libkrunfw-${pin.fileSha256}.so`]);
  });

test('a lock of a living process is waited for', async () => {
  mkdirSync(cacheDirectory, { recursive: true });
  const lock = `${cachedFile()}.lock`;
  writeFileSync(lock, JSON.stringify({ pid: 1, started: '', host: hostname() }));
  const controller = new AbortController();
  const waiting = findFirmware(options(fakeNpm(NOWHERE), { signal: controller.signal }));
  const first = await Promise.race([waiting.catch(() => 'failed'), new Promise((r) => setTimeout(r, 400, 'waiting'))]);
  assert.equal(first, 'waiting');
  controller.abort(new Error('enough'));
  await assert.rejects(waiting);
  assert.deepEqual(leftovers(), [`libkrunfw-${pin.fileSha256}.so.lock`]);
});

test('three processes at once make one download', async () => {
  let requests = 0;
  const registry = await serve((_, response) => {
    requests += 1;
    setTimeout(() => response.end(tarball), 300); // long enough for both to be under way
  });
  const module = new URL('./provider.js', import.meta.url).href;
  const given = JSON.stringify(options(fakeNpm(registry)));
  const script = `import { findFirmware } from '${module}';
    const { source, release } = await findFirmware(${given});
    console.log(source + ' ' + release);`;
  const run = async (): Promise<string> => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [output] = await Promise.all([child.stdout.setEncoding('utf8').toArray(), once(child, 'exit')]);
    return output.join('').trim();
  };
  const outputs = await Promise.all([run(), run(), run()]);
  // Who starts late finds it in the cache.
  for (const output of outputs) assert.match(output, /^(fetched|cache) 6\.12\.1-fixture$/);
  assert.equal(requests, 1);
});
