import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openPorts, parsePorts } from './port-arguments.ts';

test('a console port has a name, and an input where two paths are given', () => {
  assert.deepEqual(parsePorts({ 'console-port': ['a=/o', 'b.c=/i:/o'], serial: ['/s'] }), [
    { name: 'a', output: '/o' },
    { name: 'b.c', input: '/i', output: '/o' },
    { output: '/s' },
  ]);
  for (const text of ['/o', '=x', 'a=', 'a=:/o', 'a=/i:'])
    assert.throws(() => parsePorts({ 'console-port': [text] }), /Cannot use --console-port/);
});

test('outputs are created, inputs must be there, and the machine has a direction only where there is a file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'krun-ports-'));
  try {
    const [input, output] = [join(folder, 'in'), join(folder, 'out')];
    assert.throws(() => openPorts([{ name: 'a', input, output }]), /Cannot use .*in for a port/);
    writeFileSync(input, '');
    const open = openPorts([{ name: 'a', output }, { name: 'b', input, output: '/dev/null' }, { output: '/dev/null' }]);
    open.close();
    assert.equal(readFileSync(output, 'utf8'), '');
    assert.deepEqual(open.options, {
      ports: [
        { name: 'a', input: false, output: true, terminal: false },
        { name: 'b', input: true, output: true, terminal: false },
      ],
      serials: [{ input: false }],
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
