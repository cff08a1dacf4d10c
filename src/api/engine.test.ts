import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseEngine, openEngine } from './engine.ts';
import { vcpusMax } from './vcpus-max.ts';

test('auto takes KVM exactly where the verdict is good, and says why', () => {
  const { engine, reason, kvm } = chooseEngine();
  assert.equal(engine, kvm.kind === 'good' ? 'kvm' : 'soft');
  assert.ok(reason.endsWith(kvm.reason));
});

test('a verdict is plain data, and the same when it is asked for again', () => {
  const first = chooseEngine();
  assert.deepEqual(JSON.parse(JSON.stringify(first)), first);
  assert.equal(chooseEngine().engine, first.engine);
});

test('the software engine refuses a second vCPU, and says what KVM would need', async () => {
  await assert.rejects(openEngine({ engine: 'soft', vcpus: 2 }), {
    code: 'ERR_VCPU_COUNT',
    stage: 'engine',
    message: 'Cannot make a machine of 2 vCPUs: this engine runs 1',
    hint: /^several need KVM: /,
  });
});

test('more vCPUs than the host runs are refused by whichever engine it is', async () => {
  await assert.rejects(openEngine({ engine: 'auto', vcpus: 100_000 }), { code: 'ERR_VCPU_COUNT' });
  assert.ok(vcpusMax() >= 1 && vcpusMax() <= 128);
});

test('auto opens what it chose', async () => {
  const { kind, tscKHz } = await openEngine({ engine: 'auto', vcpus: 1 });
  assert.equal(kind, chooseEngine().engine);
  assert.ok(tscKHz > 100_000);
});
