import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Comparison, compareWithHost } from './beside.ts';

const sources = fileURLToPath(new URL('../../test/guest/cpu/', import.meta.url));

/** A program of test/guest/cpu, built on the host. */
function built(title: string, name: string): Comparison {
  return {
    title,
    needs: ['gcc'],
    script: `./${name}`,
    prepare: (folder) => {
      execFileSync('gcc', ['-O1', '-w', '-static', '-o', join(folder, name), join(sources, `${name}.c`)]);
    },
  };
}

const DEBUGGED = `
#include <stdio.h>
static int table[64];
int main(void) {
  for (int i = 0; i < 64; i++) table[i] = i * i;
  printf("%d\\n", table[17]);
  return table[17] == 289 ? 0 : 1;
}
`;

await compareWithHost([
  built('debug registers set by ptrace and by perf report the accesses that they do on the host', 'watchpoints'),
  built('a program that asks for aligned accesses gets SIGBUS where it does on the host', 'alignment'),
  {
    title: 'gdb stops at hardware watchpoints and hardware breakpoints',
    needs: ['gcc', 'gdb'],
    prepare: (folder) => {
      writeFileSync(join(folder, 'debugged.c'), DEBUGGED);
      execFileSync('gcc', ['-g', '-O0', '-static', '-o', 'debugged', 'debugged.c'], { cwd: folder });
    },
    script: `gdb -nx -batch -ex 'set confirm off' -ex 'tbreak main' -ex run -ex 'watch table[17]' -ex continue -ex 'print i' -ex 'delete' -ex 'rwatch table[17]' -ex continue -ex 'delete' -ex 'thbreak 7' -ex continue -ex 'info registers rip' -ex continue ./debugged 2>/dev/null | grep -v '^\\[\\|^Using\\|process'`,
  },
]);
