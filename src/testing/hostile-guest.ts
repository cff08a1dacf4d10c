import { MiB } from '../base/units.ts';
import { GuestMemory } from '../memory/guest-memory.ts';
import type { VirtioDevice } from '../virtio/device.ts';
import { createMmioTransport, type MmioTransport } from '../virtio/mmio-transport.ts';
import { DEVICE_NEEDS_RESET, QUEUE_SIZE_MAX } from '../virtio/protocol.ts';
import { FakeDriver, type RawDescriptor, readable, writable } from './fake-driver.ts';
import { FakeIrq } from './fake-irq.ts';
import type { Random } from './random.ts';

const MEMORY_BYTES = 1 * MiB;
const GUARD_BYTES = 64 * 1024;
const GUARD = 0xa5;

export interface HostileGuestOptions<Backend, Sizes extends readonly number[]> {
  readonly device: VirtioDevice<Backend, Sizes>;
  readonly backend: Backend;
  readonly random: Random;
  readonly iterations: number;
  /** Bytes a chain of sound shape carries; random ones when absent. */
  readonly message?: (random: Random) => Uint8Array;
  /** Called after every step: things the host does, and what must hold for the device. Throws when it does not. */
  readonly afterStep?: (random: Random, transport: MmioTransport) => void;
  /** Guest memory to use instead: for canaries. */
  readonly createMemory?: (buffer: ArrayBuffer) => GuestMemory;
}

/** Counts that show a run has reached what it is meant to reach. */
export interface HostileGuestReport {
  readonly faults: number;
  readonly starts: number;
  readonly completed: number;
  readonly interrupts: number;
}

/**
 * A guest that does everything a guest can do to a virtio device: right, nearly right, and at random. Fails when
 * anything throws, when a byte outside guest memory changes, when Status is a combination that does not exist, or
 * when a save cannot be restored.
 */
export function hostileGuest<Backend, Sizes extends readonly number[]>(
  options: HostileGuestOptions<Backend, Sizes>,
): HostileGuestReport {
  const { random, device, backend } = options;
  const buffer = new ArrayBuffer(MEMORY_BYTES + 2 * GUARD_BYTES);
  new Uint8Array(buffer).fill(GUARD);
  const memory = options.createMemory?.(buffer) ?? hostileGuestMemory(buffer);
  const irq = new FakeIrq();
  let transport = createMmioTransport({ device, backend, memory, irq });
  let driver = new FakeDriver(transport, memory);
  const counts = { faults: 0, starts: 0, completed: 0, interrupts: 0 };

  const restoreElsewhere = (): void => {
    const state = structuredClone(transport.save());
    counts.faults += transport.faults;
    transport.reset();
    transport = createMmioTransport({ device, backend, memory, irq });
    transport.restore(state);
    const next = new FakeDriver(transport, memory);
    next.adopt(driver);
    driver = next;
  };

  for (let step = 0; step < options.iterations; step++) {
    const broken = (driver.read('Status') & DEVICE_NEEDS_RESET) !== 0;
    if (step === 0 || random.oneIn(broken ? 3 : 40)) {
      driver.start({ features: BigInt(random.u32()) | (1n << 32n), queueSizeMax: random.pick([1, 4, QUEUE_SIZE_MAX]) });
      counts.starts += 1;
    } else if (random.oneIn(30)) restoreElsewhere();
    else misbehave(driver, transport, memory, options);
    for (let queue = 0; queue < driver.queueCount; queue++) counts.completed += driver.used(queue).length;
    options.afterStep?.(random, transport);
    checkStatus(driver.read('Status'));
    if (step % 64 === 0 || step === options.iterations - 1) checkGuards(buffer);
  }
  transport.reset();
  return { ...counts, faults: counts.faults + transport.faults, interrupts: irq.pulses };
}

/** Guest memory with guards before and behind it in the same buffer. */
export function hostileGuestMemory(buffer: ArrayBuffer): GuestMemory {
  return new GuestMemory(buffer, [{ gpa: 0, length: MEMORY_BYTES, offset: GUARD_BYTES }]);
}

function misbehave<Backend, Sizes extends readonly number[]>(
  driver: FakeDriver,
  transport: MmioTransport,
  memory: GuestMemory,
  { random, message }: HostileGuestOptions<Backend, Sizes>,
): void {
  const queue = random.below(driver.queueCount);
  const { desc, avail, used, size } = driver.rings(queue);
  switch (random.below(10)) {
    case 0: // any register, any width, any value
      transport.write(random.below(0x140), random.pick([1, 2, 4, 4, 4]), someNumber(random));
      transport.read(random.below(0x140), random.pick([1, 2, 4, 4, 4]));
      break;
    case 1: // anything into the rings
      memory.writeU16(random.pick([desc, avail, used]) + 2 * random.below(4 * size), random.u32() & 0xffff);
      break;
    case 2: // a head that may not exist, or an index that is off by a little
      if (random.oneIn(2)) driver.publish(queue, random.below(size + 2));
      else driver.setAvailIdx(queue, memory.readU16(avail + 2) + random.below(3));
      break;
    case 3: // chains of nearly sound descriptors
    case 4:
      driver.addRaw(
        queue,
        Array.from({ length: 1 + random.below(Math.min(size, 6)) }, (_, at) => someDescriptor(random, at)),
      );
      break;
    default: // a sound chain, while there are descriptors; sometimes with one of them bent
      if (driver.freeDescriptors(queue) < 3) driver.forget(queue);
      if (driver.freeDescriptors(queue) < 3) return;
      bend(driver, queue, addSound(driver, queue, random, message), random);
  }
  if (!random.oneIn(4)) driver.notify(queue);
}

function addSound(
  driver: FakeDriver,
  queue: number,
  random: Random,
  message: ((random: Random) => Uint8Array) | undefined,
): number {
  const content = message?.(random) ?? random.bytes(random.below(64));
  return driver.add(queue, [readable(content), writable(random.below(256)), writable(1)]);
}

function bend(driver: FakeDriver, queue: number, head: number, random: Random): void {
  const [first, second] = driver.descriptorsOf(queue, head);
  if (first === undefined || second === undefined || !random.oneIn(3)) return;
  const bent = someDescriptor(random, second);
  driver.writeDescriptor(queue, second, random.oneIn(2) ? bent : { ...bent, flags: 2 });
}

/** A descriptor for index `at`, mostly linked to the next one. */
function someDescriptor(random: Random, at: number): RawDescriptor {
  return {
    addr: someAddress(random),
    len: someNumber(random),
    flags: random.oneIn(8) ? random.u32() & 0xffff : random.pick([0, 1, 1, 2, 2, 3, 3, 4]),
    next: random.pick([at + 1, at + 1, at + 1, at + 1, at + 1, at + 1, random.below(6), random.u32() & 0xffff]),
  };
}

/** Anywhere in memory, around its end, anywhere at all. */
function someAddress(random: Random): number | bigint {
  if (random.oneIn(6)) return (BigInt(random.u32()) << 32n) | BigInt(random.u32());
  return random.oneIn(3) ? MEMORY_BYTES - random.below(80) : random.below(MEMORY_BYTES);
}

/** Numbers near limits, mostly small. */
function someNumber(random: Random): number {
  return random.pick([0, 1, 4, 16, random.below(64), random.below(4096), MEMORY_BYTES, 0xffff_ffff, random.u32()]);
}

const STEPS = [0, 1, 3, 11, 15];

function checkStatus(status: number): void {
  if (!STEPS.includes(status & 0x3f) || status > 0xff) throw new RangeError(`Cannot continue: Status is ${status}`);
}

function checkGuards(buffer: ArrayBuffer): void {
  for (const start of [0, GUARD_BYTES + MEMORY_BYTES]) {
    const changed = new Uint8Array(buffer, start, GUARD_BYTES).findIndex((byte) => byte !== GUARD);
    if (changed >= 0) throw new RangeError(`Cannot continue: byte ${start + changed} outside guest memory changed`);
  }
}
