import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { MicroVm } from 'krun';
import { skipReason } from '../boot/guest.ts';

const options = { skip: await skipReason(), timeout: 180_000 };
const folder = mkdtempSync(join(tmpdir(), 'krun-console-'));
after(() => rmSync(folder, { recursive: true }));
const ROOT = { root: '/', readOnly: true, memoryMiB: 256, timeoutMs: 120_000 } as const;

/** Prints the name and the kind of every port that the guest sees, sorted. */
const LIST_PORTS =
  'for p in /sys/class/virtio-ports/*; do echo "$(basename $p)=$(cat $p/name 2>/dev/null)"; done | sort';
/** The device of a port with a name. */
const FIND =
  'dev() { for p in /sys/class/virtio-ports/*; do test "$(cat $p/name 2>/dev/null)" = "$1" && echo /dev/$(basename $p); done; }';

test('named ports are streams in both directions, and the guest finds them by name', options, async () => {
  const script = `${LIST_PORTS}; ${FIND}
    exec 3<>$(dev com.example.agent); read line <&3; echo "guest read $line" >&3
    exec 4>$(dev log); echo to the log >&4`;
  await using vm = await MicroVm.start({
    ...ROOT,
    command: ['/bin/bash', '-c', script],
    ports: ['com.example.agent', { name: 'log', input: false }],
  });
  const agent = vm.ports.get('com.example.agent');
  const log = vm.ports.get('log');
  assert.ok(agent && log);
  await agent.input.write('from the host\n');
  const [names, answer, logged, exit] = await Promise.all([
    vm.stdout.text(),
    agent.output.text(),
    log.output.text(),
    vm.exited,
  ]);
  assert.match(names, /vport\d+p0=com\.example\.agent\n/);
  assert.match(names, /vport\d+p1=log\n/);
  assert.deepEqual([answer, logged, exit.code], ['guest read from the host\n', 'to the log\n', 0]);
});

test('a port is held back while nobody reads it, and loses nothing', options, async () => {
  const script = `${FIND}; head -c 3000000 /dev/zero | tr '\\0' x > $(dev bulk); echo done`;
  await using vm = await MicroVm.start({ ...ROOT, command: ['/bin/bash', '-c', script], ports: ['bulk'] });
  const bulk = vm.ports.get('bulk');
  assert.ok(bulk);
  let received = 0;
  for await (const chunk of bulk.output) received += chunk.length;
  assert.equal(received, 3_000_000);
  assert.equal(await vm.stdout.text(), 'done\n');
});

/** A program in a process of its own, which krun_start_enter ends. */
async function enter(source: string, stdio: ('pipe' | 'ignore' | number)[], env: Record<string, string> = {}) {
  const file = join(folder, 'enter.mjs');
  writeFileSync(
    file,
    `import * as k from ${JSON.stringify(import.meta.resolve('krun/capi'))};
    const must = (value) => { if (value < 0) { console.error('failed', value); process.exit(99); } return value; };
    const ctx = must(k.krun_create_ctx());
    must(k.krun_set_vm_config(ctx, 1, 256));
    must(k.krun_add_virtiofs3(ctx, k.KRUN_FS_ROOT_TAG, '/', 0, true));
    ${source}
    process.exit(-must(await k.krun_start_enter(ctx)));`,
  );
  const child = spawn(process.execPath, [file], { stdio, env: { ...process.env, ...env } });
  const closed = once(child, 'close');
  const read = async (index: number) => {
    const stream = child.stdio[index];
    return stream === null || stream === undefined ? '' : text(stream as NodeJS.ReadableStream);
  };
  return { child, read, closed };
}

test(
  'multiport: krun_disable_implicit_console, one console of pipes and krun_add_console_port_inout: four named ports',
  options,
  async () => {
    const script = `${LIST_PORTS} | cut -d= -f2 | grep . | sort; ${FIND}
    for n in one two three; do exec 3<>$(dev $n); read line <&3; test "$line" = PING && echo "PONG $n" >&3; done`;
    const { child, read, closed } = await enter(
      `must(k.krun_disable_implicit_console(ctx));
    must(k.krun_add_virtio_console_default(ctx, -1, 1, -1));
    const console = must(k.krun_add_virtio_console_multiport(ctx));
    must(k.krun_add_console_port_inout(ctx, console, 'one', 3, 4));
    must(k.krun_add_console_port_inout(ctx, console, 'two', 5, 6));
    must(k.krun_add_console_port_inout(ctx, console, 'three', 7, 8));
    must(k.krun_set_exec(ctx, '/bin/bash', ['-c', ${JSON.stringify(script)}], ['PATH=/usr/bin:/bin']));`,
      ['ignore', 'pipe', 'pipe', 'pipe', 'pipe', 'pipe', 'pipe', 'pipe', 'pipe'],
    );
    for (const fd of [3, 5, 7]) (child.stdio[fd] as unknown as NodeJS.WritableStream).write('PING\n');
    const [stdout, stderr, one, two, three] = await Promise.all([read(1), read(2), read(4), read(6), read(8)]);
    assert.equal(stderr, '');
    assert.equal(stdout, 'krun-stdout\none\nthree\ntwo\n');
    assert.deepEqual([one, two, three], ['PONG one\n', 'PONG two\n', 'PONG three\n']);
    assert.equal((await closed)[0], 0);
  },
);

test('krun_add_virtio_console_default on three descriptors of the caller carries the command', options, async () => {
  writeFileSync(join(folder, 'in'), 'the input\n');
  const input = openSync(join(folder, 'in'), 'r');
  const output = openSync(join(folder, 'out'), 'w');
  const { read, closed } = await enter(
    `must(k.krun_disable_implicit_console(ctx));
    must(k.krun_add_virtio_console_default(ctx, 3, 4, 5));
    must(k.krun_set_exec(ctx, '/bin/sh', ['-c', 'cat; echo to err >&2; exit 3'], null));`,
    ['ignore', 'pipe', 'pipe', input, output, 'pipe'],
  );
  const [stdout, stderr, error] = await Promise.all([read(1), read(2), read(5)]);
  closeSync(input);
  closeSync(output);
  assert.deepEqual([stdout, stderr, error, (await closed)[0]], ['', '', 'to err\n', 3]);
  assert.equal(readFileSync(join(folder, 'out'), 'utf8'), 'the input\n');
});

test('krun_set_kernel_console moves the console of the kernel to the one that was added', options, async () => {
  const log = join(folder, 'second-console');
  const { read, closed } = await enter(
    `must(k.krun_set_console_output(ctx, ${JSON.stringify(log)}));
    must(k.krun_add_virtio_console_default(ctx, -1, 1, -1));
    must(k.krun_set_kernel_console(ctx, 'hvc1'));
    must(k.krun_set_exec(ctx, '/bin/sh', ['-c', 'cat /sys/class/tty/console/active > /dev/hvc0; cat /proc/cmdline > /dev/hvc0'], null));`,
    ['ignore', 'pipe', 'pipe'],
  );
  await Promise.all([read(1), read(2)]);
  assert.equal((await closed)[0], 0);
  assert.match(readFileSync(log, 'utf8'), /^hvc1\r?\n.* console=hvc1 /);
});

test('krun run --console-port joins named ports to files', options, async () => {
  const [input, output] = [join(folder, 'port-in'), join(folder, 'port-out')];
  writeFileSync(input, 'to the port\n');
  const krun = fileURLToPath(new URL('../../bin/krun.js', import.meta.url));
  const script = `${FIND}
    exec 3<>$(dev both); read line <&3; echo "read $line" >&3; exec 4>$(dev log); echo logged >&4; echo done`;
  const ports = [`--console-port=both=${input}:${output}`, `--console-port=log=${join(folder, 'port-log')}`];
  const child = spawn(process.execPath, [krun, 'run', ...ports, '--', '/bin/bash', '-c', script], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 90_000,
  });
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  assert.deepEqual([stdout, stderr, code], ['done\n', '', 0]);
  assert.equal(readFileSync(output, 'utf8'), 'read to the port\n');
  assert.equal(readFileSync(join(folder, 'port-log'), 'utf8'), 'logged\n');
});
