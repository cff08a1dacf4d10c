import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { MachineOptions } from '../config/options.ts';
import { resolveConfig } from '../config/resolve.ts';
import type { GuestIo, Vm, VmConfig } from '../hypervisor/contract.ts';
import { plainMemory } from '../testing/device-harness.ts';
import { syntheticFirmware } from '../testing/synthetic-firmware.ts';
import { compose } from './compose.ts';
import { KrunError } from './errors.ts';
import { endOf } from './vm-end.ts';

const folder = mkdtempSync(join(tmpdir(), 'krun-compose-'));
const firmware = join(folder, 'libkrunfw.so.5');
writeFileSync(firmware, syntheticFirmware());
after(() => rmSync(folder, { recursive: true }));

const I8042_COMMAND = 0x64;
const PULSE_RESET = 0xfe;

/** A hypervisor whose guest is a function over the machine's I/O. */
function fakeHypervisor(guest: (io: GuestIo) => void) {
  const closed = { count: 0 };
  const createVm = async ({ memoryBytes }: VmConfig): Promise<Vm> => ({
    memory: plainMemory(memoryBytes),
    vcpus: [
      {
        setEntryState: () => {},
        run: async (io) => {
          guest(io);
          return { reason: 'stopped' };
        },
        stop: () => {},
      },
    ],
    irqLine: () => ({ pulse: () => {}, set: () => {} }),
    close: () => {
      closed.count++;
    },
  });
  return { hypervisor: { kind: 'soft' as const, tscKHz: 1e6, createVm }, closed };
}

function composeWith(options: Partial<MachineOptions>, guest: (io: GuestIo) => void = () => {}) {
  const { hypervisor, closed } = fakeHypervisor(guest);
  const spec = resolveConfig({ root: folder, command: ['/x'], memoryMiB: 64, kernel: { firmware }, ...options });
  const wire = () => ({ window: 1024, output: () => {}, inputTaken: () => {} });
  return { composing: compose(spec, { hypervisor, wire }), closed };
}

/** Descriptors of this process that lead into the test's folder. */
function openBelow(path: string): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${fd}`);
      return target.startsWith(path) ? [target] : [];
    } catch {
      return []; // the descriptor that listed the directory
    }
  });
}

test('a guest that presses the reset button ends as reset, and closing frees the VM and every descriptor', async () => {
  const { composing, closed } = composeWith({}, (io) => io.portWrite(I8042_COMMAND, 1, PULSE_RESET));
  const { machine, kernelRelease, close } = await composing;
  assert.equal(kernelRelease, '6.12.1-test');
  assert.deepEqual(endOf(await machine.run()), { reason: 'reset', code: null, signal: null, detail: undefined });
  close();
  assert.equal(closed.count, 1);
  assert.deepEqual(openBelow(folder), []);
});

test('each share and console is a device in libkrun order: balloon, rng, consoles, shares, vsock', async () => {
  const volumes = [{ hostPath: folder, guestPath: '/v' }];
  const { composing } = composeWith({ volumes, extraConsoles: [{ input: 'none', error: 'none' }] });
  const { machine, close } = await composing;
  assert.deepEqual(
    machine.devices.map(({ id }) => id),
    ['balloon', 'rng', 'hvc0', 'hvc1', 'fs0', 'fs1', 'vsock0'],
  );
  close();
});

test('a missing share is a typed error that names it, and what was opened before is closed', async () => {
  const { composing, closed } = composeWith({ volumes: [{ hostPath: join(folder, 'absent'), guestPath: '/v' }] });
  await assert.rejects(
    composing,
    (error) =>
      error instanceof KrunError &&
      error.code === 'ERR_SHARE' &&
      error.stage === 'resources' &&
      /absent/.test(error.message),
  );
  assert.equal(closed.count, 0);
  assert.deepEqual(openBelow(folder), []);
});

test('a console log that cannot be created is an error of the resources', async () => {
  const { composing } = composeWith({ console: { logFile: join(folder, 'no', 'such', 'log') } });
  await assert.rejects(composing, { code: 'ENOENT', stage: 'resources' });
  assert.deepEqual(openBelow(folder), []);
});

test('a kernel that is not there is an error of the kernel, with a hint', async () => {
  const { composing } = composeWith({ kernel: { firmware: join(folder, 'none.so') } });
  await assert.rejects(
    composing,
    (error) => error instanceof KrunError && error.stage === 'kernel' && error.hint !== undefined,
  );
});

test('more devices than interrupts are refused and nothing stays open', async () => {
  const shares = Array.from({ length: 12 }, (_, index) => ({ tag: `t${index}`, path: folder }));
  const { composing } = composeWith({ shares });
  await assert.rejects(composing, { code: 'ERR_DEVICE_COUNT', stage: 'assemble' });
  assert.deepEqual(openBelow(folder), []);
});

test('the console log file is made at the start', async () => {
  const logFile = join(folder, 'console.log');
  const { composing } = composeWith({ console: { logFile } });
  const { close } = await composing;
  assert.equal(readFileSync(logFile, 'utf8'), '');
  close();
});

test('a report above eight bits names the signal; without a report the reason says what happened', () => {
  const end = { reason: 'reset', exitCode: undefined, panicked: false, detail: undefined } as const;
  assert.deepEqual(endOf({ ...end, exitCode: 7 }), { reason: 'exited', code: 7, signal: null });
  assert.deepEqual(endOf({ ...end, exitCode: 137 }), { reason: 'exited', code: 137, signal: null });
  assert.deepEqual(endOf({ ...end, exitCode: (9 << 8) | 137 }), { reason: 'exited', code: null, signal: 'SIGKILL' });
  assert.equal(endOf({ ...end, panicked: true }).reason, 'panic');
  assert.equal(endOf({ ...end, reason: 'stopped', panicked: true }).reason, 'stopped');
  assert.deepEqual(endOf({ ...end, reason: 'error', detail: 'd' }), {
    reason: 'failed',
    code: null,
    signal: null,
    detail: 'd',
  });
});
