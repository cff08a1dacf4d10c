// Boots the image on the software engine, with no devices, until PID 1 restarts the machine. usage: krun.mjs FIRMWARE
import { linux64EntryState } from '../../dist/boot/entry-state.js';
import { softHost } from '../../dist/host/soft-host.js';
import { createSoftHypervisor } from '../../dist/hypervisor/soft/index.js';
import { S } from '../../dist/x86/state/layout.js';
import { commandLine, loadBoot, MEMORY_BYTES } from './image.mjs';

const hypervisor = createSoftHypervisor(softHost);
const vm = await hypervisor.createVm({ memoryBytes: MEMORY_BYTES, vcpus: 1 });
const { entry } = loadBoot(vm.memory, process.argv[2], commandLine(hypervisor.tscKHz));
const [vcpu] = vm.vcpus;
vcpu.setEntryState(linux64EntryState(entry));
const noDevices = { portRead: () => 0xffff_ffff, portWrite() {}, mmioRead: () => 0xffff_ffff, mmioWrite() {} };
const started = process.cpuUsage();
const { reason } = await vcpu.run(noDevices);
const { user, system } = process.cpuUsage(started);
const instructions = Number(vcpu.cpu.state.get64(S.retired));
console.log(JSON.stringify({ reason, instructions, runCpuSeconds: (user + system) / 1e6 }));
process.exit(reason === 'shutdown' ? 0 : 1);
