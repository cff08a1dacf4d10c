import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tarEntry, tarFile } from '../../testing/tar.ts';
import { TarMember } from './tar-member.ts';

const pick = (tar: Uint8Array, wanted: string, chunk: number): { found: boolean; text: string } => {
  const member = new TarMember(wanted);
  const parts: Uint8Array[] = [];
  for (let at = 0; at < tar.length; at += chunk) parts.push(...member.push(tar.subarray(at, at + chunk)));
  return { found: member.found, text: Buffer.concat(parts).toString() };
};

test('TarMember yields exactly the wanted file, whatever the chunk size', () => {
  const tar = tarFile(
    tarEntry('a', Buffer.from('x'.repeat(513))),
    tarEntry('b/c', Buffer.from('wanted'.repeat(200))),
    tarEntry('b/c', Buffer.from('a second file of that name')),
  );
  for (const chunk of [1, 7, 511, 512, 513, 100_000])
    assert.deepEqual(pick(tar, 'b/c', chunk), { found: true, text: 'wanted'.repeat(200) });
});

test('TarMember joins the prefix field and passes over what is no regular file', () => {
  const link = tarEntry('dir/f', Buffer.alloc(0), { type: '2' });
  const tar = tarFile(link, tarEntry('f', Buffer.from('yes'), { prefix: 'dir' }));
  assert.deepEqual(pick(tar, 'dir/f', 64), { found: true, text: 'yes' });
  assert.deepEqual(pick(tar, 'f', 64), { found: false, text: '' });
});

test('TarMember refuses a header with a wrong checksum or size', () => {
  const renamed = tarEntry('a', Buffer.from('x'));
  renamed[0] = 0x62;
  assert.throws(() => pick(renamed, 'b', 512), { code: 'ERR_KERNEL_INTEGRITY' });
  const sized = tarEntry('a', Buffer.from('x'));
  sized[124] = 0x39; // '9' is no octal digit
  sized[153] = 0; // and the checksum field would say so first
  assert.throws(() => pick(sized, 'b', 512), { code: 'ERR_KERNEL_INTEGRITY' });
});
