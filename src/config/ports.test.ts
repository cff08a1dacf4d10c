import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MachineOptions } from './options.ts';
import { resolveConfig } from './resolve.ts';

const MINIMAL: MachineOptions = { root: '/r', command: ['/bin/x'], console: false, shutdown: false };
const refuses = (options: Partial<MachineOptions>, message: RegExp): void => {
  assert.throws(() => resolveConfig({ ...MINIMAL, ...options }), { code: 'ERR_INVALID_OPTION', message });
};

test('named ports are one console device behind the others, with a stream per port', () => {
  const { consoles } = resolveConfig({
    ...MINIMAL,
    extraConsoles: [{ ports: [{ terminal: true }] }],
    ports: ['agent', { name: 'log', input: false }],
  });
  assert.deepEqual(consoles, [
    { ports: [{ name: '', input: 'port0', output: 'port0', terminal: { columns: 80, rows: 24 } }], multiport: true },
    {
      ports: [
        { name: 'agent', input: 'port0', output: 'port0' },
        { name: 'log', input: 'none', output: 'port1' },
      ],
      multiport: true,
    },
  ]);
});

test('serial ports have both directions unless said otherwise', () => {
  const { serials } = resolveConfig({ ...MINIMAL, serials: [{}, { input: false, logFile: '/l' }] });
  assert.deepEqual(serials, [
    { input: true, output: true },
    { input: false, output: true, logFile: '/l' },
  ]);
});

test('ports and serial ports that make no sense are refused by name', () => {
  refuses({ ports: [''] }, /Cannot use ports: a port has no name/);
  refuses({ ports: ['a', 'a'] }, /two ports have the name "a"/);
  refuses({ ports: [{ name: 'é'.repeat(128) }] }, /more than 255 bytes/);
  refuses({ ports: [{ name: 'a', terminal: { columns: 70_000, rows: 1 } }] }, /terminal\.columns: 70000 is outside/);
  refuses({ extraConsoles: [{ ports: [] }] }, /extraConsoles\[0\]: a console has at least one port/);
  refuses({ ports: Array.from({ length: 65 }, (_, index) => `p${index}`) }, /at most 64/);
  refuses({ serials: [{}, {}, {}, {}, {}] }, /serials: 5 of them/);
});

test('the port on which the host asks for an end stands behind those of the first console', () => {
  const { consoles } = resolveConfig({ ...MINIMAL, shutdown: true, ports: ['a'] });
  assert.deepEqual(
    consoles.map(({ ports }) => ports.map(({ name, input }) => [name, input])),
    [
      [
        ['a', 'port0'],
        ['krun-control', 'control'],
      ],
    ],
  );
  assert.deepEqual(resolveConfig({ ...MINIMAL, shutdown: true }).consoles, []);
});
