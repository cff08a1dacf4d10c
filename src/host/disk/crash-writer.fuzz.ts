// A program that writes to a disk until somebody kills it, and says on standard output what it does: started by tests.
import { writeSync } from 'node:fs';
import { Random } from '../../testing/random.ts';
import { openDisk } from './open-disk.ts';
import { stamped } from './journal.fuzz.ts';

const [, , path = '', format = '', seed = ''] = process.argv;
const random = new Random(Number(seed));
const disk = openDisk({
  path,
  format: format === 'raw' ? 'raw' : 'qcow2',
  readOnly: false,
  direct: false,
  sync: 'full',
});
const sectors = disk.length / 512;

/** One line for each request before it is made, one for each flush after it is done: `parseJournal` reads them. */
function say(...words: (string | number)[]): void {
  writeSync(1, `${words.join(' ')}\n`);
}

for (let stamp = 1; ; stamp++) {
  const first = random.below(sectors);
  const count = Math.min(1 + random.below(random.pick([1, 8, 200])), sectors - first);
  switch (random.below(12)) {
    case 0:
      say('zero', stamp, first, count);
      await disk.writeZeroes(first * 512, count * 512, random.oneIn(2));
      break;
    case 1:
      say('discard', stamp, first, count);
      await disk.discard(first * 512, count * 512);
      break;
    case 2:
      await disk.flush();
      say('flushed', stamp);
      break;
    default:
      say('write', stamp, first, count);
      await disk.write(first * 512, [stamped(stamp, count)]);
  }
  // Kills come at any moment; so do other requests.
  if (random.oneIn(30)) await new Promise((resolve) => setImmediate(resolve));
}
