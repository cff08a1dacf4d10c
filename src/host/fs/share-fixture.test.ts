import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { FuseServer } from '../../fuse/server.ts';
import { loadLibc } from '../../native/libc.ts';
import { FuseClient } from '../../testing/fuse-client.ts';
import { openPassthrough, type PassthroughOptions } from '../passthrough-fs.ts';

/** A shared temporary directory and a guest that has mounted it. */
export interface ShareFixture {
  readonly root: string;
  /** Beside the root, not shared. */
  readonly outside: string;
  readonly guest: FuseClient;
  readonly server: FuseServer;
  path(name: string): string;
}

export function shareFixture(context: TestContext, options: PassthroughOptions = {}): ShareFixture {
  const base = mkdtempSync(join(tmpdir(), 'krun-share-'));
  const [root, outside] = [join(base, 'shared'), join(base, 'outside')];
  mkdirSync(root);
  mkdirSync(outside);
  const fileSystem = openPassthrough(root, options);
  const server = new FuseServer(fileSystem);
  const guest = new FuseClient(server);
  guest.init();
  context.after(() => {
    fileSystem.close();
    rmSync(base, { recursive: true });
  });
  return { root, outside, guest, server, path: (name) => join(root, name) };
}

/** Descriptors this process has open. */
export function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

type Body = (context: TestContext, options: PassthroughOptions) => void;

/** One test per way of talking to the host: with libc and with Node alone. */
export function testBoth(title: string, body: Body): void {
  testNative(title, body);
  test(`without the native library, ${title}`, LINUX, (context) => body(context, { plain: true }));
}

/** For what Node alone cannot do. */
export function testNative(title: string, body: Body): void {
  const skip = loadLibc() === null && 'the native library is not installed';
  test(title, skip === false ? LINUX : { skip }, (context) => body(context, {}));
}

const LINUX = { skip: process.platform !== 'linux' && 'needs Linux' };
