import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from 'krun/testing';
import { nullFs } from '../../dist/fuse/null-fs.js';
import { softHost } from '../../dist/host/soft-host.js';
import { softMachine } from '../soft-machine.ts';
import { AT, type Assembly, flatKernel } from './flat-guest.ts';

const MIB = 1 << 20;
const OPERATIONS = 2500;
const SEEDS = 30;
const VIRTIO = 0xd000_0000;
const QUEUES_AT = 32 * MIB;

/** Windows of memory-mapped registers: eleven virtio slots, the I/O APIC, the local APIC, and where nothing is. */
const WINDOWS = [
  ...Array.from({ length: 11 }, (_, slot) => VIRTIO + slot * 0x1000),
  0xfec0_0000,
  0xfee0_0000,
  0xc123_4000,
];
/** PIC pair, PIT, speaker, i8042, CMOS, four UARTs, PCI, ELCR, debug. Reset by the i8042 ends a run early, and may. */
const PORTS = [
  0x20, 0x21, 0x40, 0x41, 0x42, 0x43, 0x60, 0x61, 0x64, 0x70, 0x71, 0x80, 0xa0, 0xa1, 0x2e8, 0x2f8, 0x3e8, 0x3f8, 0x4d0,
  0x4d1, 0xcf8, 0xcfc,
];

function someValue(random: Random): number {
  return random.pick([
    0,
    1,
    2,
    3,
    8,
    0xff,
    0x100,
    0xffff_ffff,
    0x8000_0000,
    QUEUES_AT,
    random.u32(),
    random.u32() & 0xffff,
  ]);
}

function touchMemory(p: Assembly, random: Random): void {
  const window = random.pick(WINDOWS);
  const at = window + (random.oneIn(8) ? random.below(0x1000) : random.below(0x140) & ~3);
  const size = random.pick([1, 2, 4, 4, 4, 8] as const);
  if (random.oneIn(3)) p.load(at, size);
  else if (at >= 0xfee0_0300 && at <= 0xfee0_0310)
    return; // an INIT or an NMI of its own is another test's
  else p.store(at, BigInt(someValue(random)) | (BigInt(random.u32()) << 32n), size);
}

function touchPort(p: Assembly, random: Random): void {
  const port = random.oneIn(6) ? random.below(0x1_0000) : random.pick(PORTS) + random.below(8);
  const size = random.pick([1, 1, 1, 2, 4] as const);
  if (random.oneIn(2)) return void p.in(port, size);
  const value = someValue(random);
  if (port === 0x64 && (value & 0xff) >= 0xf0) return;
  p.out(port, value, size);
}

/** What a driver does, with queues in memory that holds anything. */
function startDevice(p: Assembly, random: Random): void {
  const base = VIRTIO + random.below(4) * 0x1000;
  const write = (offset: number, value: number): void => void p.store(base + offset, value, 4);
  for (const status of [0, 1, 3]) write(0x70, status);
  for (const select of [0, 1]) {
    write(0x24, select);
    write(0x20, select === 1 ? 1 : random.u32());
  }
  write(0x70, 11);
  for (let queue = 0; queue < 6; queue++) {
    write(0x30, queue);
    write(0x38, random.pick([1, 2, 16, 256, random.below(1024)]));
    for (const ring of [0x80, 0x90, 0xa0])
      write(ring, random.oneIn(10) ? random.u32() : QUEUES_AT + random.below(MIB) * 16);
    write(0x44, 1);
  }
  write(0x70, 15);
  for (let queue = 0; queue < 6; queue++) write(0x50, queue);
}

/** Descriptors, rings and requests that are nearly right, all over the memory that queues may lie in. */
function fillQueues(memory: { writeU32(at: number, value: number): void }, random: Random): void {
  for (let at = QUEUES_AT; at < QUEUES_AT + 17 * MIB; at += 16) {
    memory.writeU32(at, random.oneIn(20) ? random.u32() : QUEUES_AT + random.below(20 * MIB));
    memory.writeU32(at + 4, random.oneIn(20) ? random.u32() : 0);
    memory.writeU32(at + 8, random.pick([0, 16, 40, 4096, MIB, random.u32()]));
    memory.writeU32(at + 12, random.below(8) | (random.below(256) << 16));
  }
}

test('a guest that writes anything to every register of every device ends with a reason, and nothing of the host', {
  timeout: 120_000,
}, async () => {
  const reasons = new Map<string, number>();
  const before = process.memoryUsage().rss;
  let logged = 0;
  let finished = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const random = new Random(seed);
    const kernel = flatKernel({
      write: (p) => {
        if (random.oneIn(2)) p.raw(0xfb);
        for (let done = 0; done < OPERATIONS; done++) {
          if (random.oneIn(150)) startDevice(p, random);
          else if (random.oneIn(3)) touchPort(p, random);
          else touchMemory(p, random);
          if (p.here > AT.idt - 4096) break;
        }
        p.store(AT.scratch, 1, 4).halt();
      },
    });
    const shares = [{ tag: '/dev/root', fileSystem: nullFs() }];
    const log = () => void logged++;
    const here = await softMachine({ kernel, host: softHost, memoryBytes: 64 * MIB, shares, change: { log } });
    if (seed % 3 === 0) fillQueues(here.vm.memory, random);
    const timer = setTimeout(() => here.machine.stop(), 5000);
    const { reason, detail } = await here.machine.run();
    clearTimeout(timer);
    assert.notEqual(reason, 'error', `seed ${seed}: ${detail}`);
    if (here.vm.memory.readU32(AT.scratch) === 1) finished++;
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    assert.doesNotThrow(() => here.machine.save(), `seed ${seed}`);
    here.machine.close();
  }
  const grown = process.memoryUsage().rss - before;
  assert.equal(reasons.get('stopped') ?? 0, 0, 'every guest came to its end in time');
  assert.ok(finished > SEEDS / 4, `only ${finished} of them reached their last instruction`);
  assert.ok(logged > 0, 'devices were started, and noticed');
  assert.ok(logged < SEEDS * 20, `${logged} lines of log`);
  assert.ok(grown < 1024 * MIB, `the process grew by ${Math.round(grown / MIB)} MiB`);
});
