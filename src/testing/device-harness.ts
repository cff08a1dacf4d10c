import type { Log } from '../base/log.ts';
import { MiB } from '../base/units.ts';
import { GuestMemory } from '../memory/guest-memory.ts';
import type { VirtioDevice } from '../virtio/device.ts';
import { createMmioTransport, type MmioTransport, type SharedMemoryRegion } from '../virtio/mmio-transport.ts';
import { ALL_FEATURES, FakeDriver, type UsedElement } from './fake-driver.ts';
import { FakeIrq } from './fake-irq.ts';

export interface HarnessOptions {
  readonly memory?: GuestMemory;
  readonly memoryBytes?: number;
  /** Which of the offered features the driver accepts; all by default. */
  readonly features?: bigint;
  readonly queueSizeMax?: number;
  /** False: the driver leaves the device as it is after creation. */
  readonly start?: boolean;
  readonly sharedMemory?: readonly SharedMemoryRegion[];
  readonly schedule?: (task: () => void) => void;
  readonly log?: Log;
}

export interface Harness {
  readonly transport: MmioTransport;
  readonly memory: GuestMemory;
  readonly driver: FakeDriver;
  readonly irq: FakeIrq;
  notify(queueIndex: number): void;
  used(queueIndex: number): UsedElement[];
}

/** A device with its transport, guest memory and a driver that has brought it up. */
export function deviceHarness<Backend, Sizes extends readonly number[]>(
  device: VirtioDevice<Backend, Sizes>,
  backend: Backend,
  options: HarnessOptions = {},
): Harness {
  const memory = options.memory ?? plainMemory(options.memoryBytes ?? 1 * MiB);
  const irq = new FakeIrq();
  const { log, sharedMemory, schedule } = options;
  const transport = createMmioTransport({
    device,
    backend,
    memory,
    irq,
    ...(log && { log }),
    ...(sharedMemory && { sharedMemory }),
    ...(schedule && { schedule }),
  });
  const driver = new FakeDriver(transport, memory);
  const { features = ALL_FEATURES, queueSizeMax = 32768 } = options;
  if (options.start !== false) driver.start({ features, queueSizeMax });
  return {
    transport,
    memory,
    driver,
    irq,
    notify: (queueIndex) => driver.notify(queueIndex),
    used: (queueIndex) => driver.used(queueIndex),
  };
}

/** Guest memory from address 0 in an ordinary buffer. */
export function plainMemory(bytes: number): GuestMemory {
  return new GuestMemory(new ArrayBuffer(bytes), [{ gpa: 0, length: bytes, offset: 0 }]);
}
