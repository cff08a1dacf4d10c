// Boots the image on the software engine, with the ports that a PC has and no other devices, until PID 1 restarts the machine. usage: krun.mjs FIRMWARE [INIT PROG]
import { readFileSync } from 'node:fs';
import { linux64EntryState } from '../../dist/boot/entry-state.js';
import { Bus } from '../../dist/bus/bus.js';
import { hostClock } from '../../dist/host/clock.js';
import { softHost } from '../../dist/host/soft-host.js';
import { createSoftHypervisor } from '../../dist/hypervisor/soft/index.js';
import { guestIo } from '../../dist/machine/guest-io.js';
import { LegacyDevices } from '../../dist/machine/legacy-devices.js';
import { S } from '../../dist/x86/state/layout.js';
import { commandLine, loadBoot, MEMORY_BYTES } from './image.mjs';

const hypervisor = createSoftHypervisor(softHost);
const vm = await hypervisor.createVm({ memoryBytes: MEMORY_BYTES, vcpus: 1 });
const [, , firmware, ...programs] = process.argv;
const files = programs.length > 0 ? ['init', 'prog'].map((name, i) => [name, readFileSync(programs[i])]) : undefined;
const { entry } = loadBoot(vm.memory, firmware, commandLine(hypervisor.tscKHz), files);
const [vcpu] = vm.vcpus;
vcpu.setEntryState(linux64EntryState(entry));
// QEMU's board has a clock chip as well: without one the kernel waits a second for it.
const ports = new Bus();
const memory = { lowBytes: MEMORY_BYTES, highBytes: 0 };
new LegacyDevices(ports, { vm, clock: hostClock, memory, serials: [], onReset: () => vcpu.stop() });
const started = process.cpuUsage();
const { reason } = await vcpu.run(guestIo(ports, new Bus()));
const { user, system } = process.cpuUsage(started);
const instructions = Number(vcpu.cpu.state.get64(S.retired));
const compiled = vcpu.cpu.jit?.statistics;
const profile = vcpu.cpu.profile();
if (profile !== undefined) {
  const { places, ...counts } = profile;
  console.error(JSON.stringify(counts, null, 1));
  for (const { rip, user, compiled, milliseconds } of places.slice(0, 60))
    console.error(
      `${milliseconds.toFixed(1).padStart(9)} ms ${compiled ? 'compiled' : 'interp  '} ${user ? 'user  ' : 'kernel'} ${rip.toString(16)}`,
    );
}
console.log(JSON.stringify({ reason, compiled, instructions, runCpuSeconds: (user + system) / 1e6 }));
process.exit(reason === 'shutdown' ? 0 : 1);
