import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import type { HostCalls } from './fs/host-calls.ts';
import { testBoth } from './fs/share-fixture.test.ts';
import { run } from './passthrough-fs.fuzz.ts';

testBoth('a hostile guest neither leaves the share nor breaks the server', (_context, options) => {
  const { answered, succeeded, kinds } = run(1, 6000, options);
  assert.ok(answered > 4000, `${answered} answered`);
  assert.ok(succeeded > 500, `${succeeded} succeeded`);
  assert.ok(kinds > 15, `${kinds} kinds of operation succeeded`);
});

/** A server that follows links when it opens: what the fuzzer must notice. */
const following = (calls: HostCalls): HostCalls => ({
  ...calls,
  openAt(dir, name, flags) {
    try {
      return fs.openSync(`/proc/self/fd/${dir}/${Buffer.from(name).toString('latin1')}`, flags);
    } catch {
      return calls.openAt(dir, name, flags, 0);
    }
  },
});

testBoth('the fuzzer notices a server that follows links', (_context, options) => {
  assert.throws(() => run(1, 6000, { ...options, intercept: following }), /the outside/);
});
