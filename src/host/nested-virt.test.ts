import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostNestsGuests } from './nested-virt.ts';

const host = (files: Record<string, string>) => (path: string) => {
  const content = files[path.split('/')[3] ?? ''];
  if (content === undefined) throw new Error('ENOENT');
  return content;
};

test('a host nests guests when the module of its processor says 1 or Y', () => {
  assert.equal(hostNestsGuests(host({ kvm_intel: 'Y\n' })), true);
  assert.equal(hostNestsGuests(host({ kvm_intel: 'N\n', kvm_amd: '1\n' })), true);
  assert.equal(hostNestsGuests(host({ kvm_amd: '0\n' })), false);
  assert.equal(hostNestsGuests(host({})), false);
});
