// npm start: a microVM on this machine's own root directory, shared read-only, and what a command in it sees.
import { spawnSync } from 'node:child_process';
import { release } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const krun = join(dirname(fileURLToPath(import.meta.url)), '../bin/krun.js');
const script = `
echo "guest kernel   $(uname -r)"
echo "guest CPU      $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)"
echo "guest memory   $(sed -n 's/^MemTotal: *//p' /proc/meminfo)"
echo "guest root     $(sed -n 's/^PRETTY_NAME=//p' /etc/os-release | tr -d '"') (your files, read-only)"
echo "processes      $(ls -d /proc/[0-9]* | wc -l)"
`;

console.log(`This host runs Linux ${release()}. Booting a microVM with its root directory, read-only:\n`);
const started = performance.now();
const { status } = spawnSync(
  process.execPath,
  [krun, 'run', '--root', '/', '--read-only', '--', '/bin/sh', '-c', script],
  {
    stdio: ['ignore', 'inherit', 'inherit'],
  },
);
const seconds = ((performance.now() - started) / 1000).toFixed(1);
console.log(
  `\nThe command ended with ${status} after ${seconds} s. Try your own: npx krun run --root / --read-only -- /bin/bash`,
);
process.exitCode = status ?? 1;
