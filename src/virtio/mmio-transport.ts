import { assert } from '../base/assert.ts';
import { type Log, silentLog } from '../base/log.ts';
import type { AccessSize, BusDevice, IrqLine } from '../bus/bus.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { asDeviceConfig, readConfig, writeConfig } from './config-space.ts';
import type { DeviceConfig, QueuesOf, RunningDevice, VirtioDevice } from './device.ts';
import {
  ACKNOWLEDGE,
  DEVICE_NEEDS_RESET,
  DRIVER,
  DRIVER_OK,
  FAILED,
  FEATURES_OK,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_VERSION_1,
  VIRTIO_MMIO_INT_CONFIG,
  VIRTIO_MMIO_INT_VRING,
} from './protocol.ts';
import { byNumber, CONFIG_START, MAGIC, type ReadHandlers, VENDOR, VERSION, type WriteHandlers } from './registers.ts';
import { placementIsSound, type RingPlacement } from './rings.ts';
import { classifyStatusWrite } from './status.ts';
import {
  addressOf,
  cloneRegisters,
  type QueueRegisters,
  registersAfterReset,
  TRANSPORT_STATE_VERSION,
  type TransportRegisters,
  type TransportState,
} from './transport-state.ts';
import { type QueueHost, Virtqueue } from './virtqueue.ts';

/** Host memory that the guest reaches at a guest-physical address of its own. @spec VIRTIO-1.2 §2.10 */
export interface SharedMemoryRegion {
  /** What the driver writes to SHMSel. */
  readonly id: number;
  readonly gpa: number;
  readonly length: number;
}

export interface MmioTransportOptions<Backend, Sizes extends readonly number[]> {
  readonly device: VirtioDevice<Backend, Sizes>;
  readonly backend: Backend;
  readonly memory: GuestMemory;
  readonly irq: IrqLine;
  readonly log?: Log;
  readonly sharedMemory?: readonly SharedMemoryRegion[];
  /**
   * Runs a task after other events of the host had their turn. Needed when vCPUs run on threads of their own: a
   * device that finds a queue refilled while it works on it continues in a later turn.
   */
  readonly schedule?: (task: () => void) => void;
  /** One word that holds InterruptStatus, for engines that answer that register and its ACK on another thread. */
  readonly interruptStatus?: Int32Array | undefined;
}

/** A virtio device behind memory-mapped registers; attach it to the bus with `WINDOW_BYTES`. */
export interface MmioTransport extends BusDevice {
  /** Broken rings and chains seen since creation. */
  readonly faults: number;
  /** Queues the device has: QueueNotify is written with numbers below. */
  readonly queueCount: number;
  /** As if the driver had written 0 to Status; also lets go of the backend when the machine ends. */
  reset(): void;
  save(): TransportState;
  /** @throws {RangeError} when the state is of another version or device */
  restore(state: TransportState): void;
}

/** Puts a device model behind a virtio-mmio window. @spec VIRTIO-1.2 §4.2 */
export function createMmioTransport<Backend, const Sizes extends readonly number[]>(
  options: MmioTransportOptions<Backend, Sizes>,
): MmioTransport {
  return new Transport(options);
}

class Transport<Backend, Sizes extends readonly number[]> implements MmioTransport {
  readonly #options: MmioTransportOptions<Backend, Sizes>;
  readonly #log: Log;
  readonly #queueSizes: readonly number[];
  readonly #offered: bigint;
  readonly #config: DeviceConfig;
  readonly #readers: readonly ((() => number) | undefined)[];
  readonly #writers: readonly (((value: number) => void) | undefined)[];
  /** Interrupts that wait for their acknowledgement; changed by atomic operations only. */
  readonly #pending: Int32Array;
  #registers: TransportRegisters;
  #configGeneration = 0;
  #queues: readonly Virtqueue[] = [];
  #running: RunningDevice | undefined;
  #faults = 0;

  constructor(options: MmioTransportOptions<Backend, Sizes>) {
    const { device, backend } = options;
    this.#options = options;
    this.#log = options.log ?? silentLog;
    this.#pending = options.interruptStatus ?? new Int32Array(1);
    this.#queueSizes = typeof device.queueSizes === 'function' ? device.queueSizes(backend) : device.queueSizes;
    const features = typeof device.features === 'function' ? device.features(backend) : device.features;
    this.#offered = features | VIRTIO_F_VERSION_1;
    this.#config = asDeviceConfig(device.config?.(backend));
    this.#registers = registersAfterReset(this.#queueSizes.length);
    this.#readers = byNumber(this.#readHandlers());
    this.#writers = byNumber(this.#writeHandlers());
  }

  get faults(): number {
    return this.#faults;
  }

  get queueCount(): number {
    return this.#queueSizes.length;
  }

  /** Registers answer aligned 32-bit reads only; configuration space answers every size. */
  read(offset: number, size: AccessSize): number {
    if (offset >= CONFIG_START) return readConfig(this.#config, offset - CONFIG_START, size);
    if (size !== 4 || offset % 4 !== 0) return 0;
    return this.#readers[offset / 4]?.() ?? 0;
  }

  write(offset: number, size: AccessSize, value: number): void {
    if (offset >= CONFIG_START) {
      if (this.#hasStatus(DRIVER)) writeConfig(this.#config, offset - CONFIG_START, size, value);
      return;
    }
    if (size === 4 && offset % 4 === 0) this.#writers[offset / 4]?.(value);
  }

  reset(): void {
    for (const queue of this.#queues) queue.close();
    this.#queues = [];
    const running = this.#running;
    this.#running = undefined;
    this.#registers = registersAfterReset(this.#queueSizes.length);
    Atomics.store(this.#pending, 0, 0);
    running?.close?.();
  }

  save(): TransportState {
    const queues = this.#queues.map((queue) => queue.save());
    return {
      version: TRANSPORT_STATE_VERSION,
      deviceId: this.#options.device.deviceId,
      registers: { ...cloneRegisters(this.#registers), interruptStatus: Atomics.load(this.#pending, 0) },
      configGeneration: this.#configGeneration,
      config: this.#config.save?.(),
      active: this.#running === undefined ? undefined : { queues, device: this.#running.save?.() },
    };
  }

  restore(state: TransportState): void {
    const { name, deviceId } = this.#options.device;
    if (state.version !== TRANSPORT_STATE_VERSION || state.deviceId !== deviceId) {
      throw new RangeError(`Cannot restore ${name}: state is version ${state.version} of device ${state.deviceId}`);
    }
    if (state.registers.queues.length !== this.#queueSizes.length) {
      throw new RangeError(`Cannot restore ${name}: state has ${state.registers.queues.length} queues`);
    }
    this.reset();
    this.#registers = cloneRegisters(state.registers);
    Atomics.store(this.#pending, 0, state.registers.interruptStatus);
    this.#configGeneration = state.configGeneration;
    this.#config.restore?.(state.config);
    if (state.active !== undefined) this.#activate(state.active);
  }

  #readHandlers(): ReadHandlers {
    return {
      MagicValue: () => MAGIC,
      Version: () => VERSION,
      DeviceID: () => this.#options.device.deviceId,
      VendorID: () => VENDOR,
      DeviceFeatures: () => page(this.#offered, this.#registers.deviceFeaturesSel),
      QueueNumMax: () => this.#queueSizes[this.#registers.queueSel] ?? 0,
      QueueReady: () => (this.#selected()?.ready ? 1 : 0),
      InterruptStatus: () => Atomics.load(this.#pending, 0),
      Status: () => this.#registers.status,
      SHMLenLow: () => (this.#sharedMemory()?.length ?? ALL_ONES) >>> 0,
      SHMLenHigh: () => highHalf(this.#sharedMemory()?.length),
      SHMBaseLow: () => (this.#sharedMemory()?.gpa ?? ALL_ONES) >>> 0,
      SHMBaseHigh: () => highHalf(this.#sharedMemory()?.gpa),
      ConfigGeneration: () => this.#configGeneration,
    };
  }

  #writeHandlers(): WriteHandlers {
    const queueField = (set: (queue: QueueRegisters, value: number) => void) => (value: number) => {
      const queue = this.#configurable();
      if (queue !== undefined) set(queue, value);
    };
    return {
      DeviceFeaturesSel: (value) => {
        this.#registers.deviceFeaturesSel = value;
      },
      DriverFeaturesSel: (value) => {
        this.#registers.driverFeaturesSel = value;
      },
      DriverFeatures: (value) => this.#acceptFeatures(value),
      QueueSel: (value) => {
        this.#registers.queueSel = value;
      },
      QueueNum: queueField((queue, value) => {
        queue.size = value;
      }),
      QueueReady: (value) => this.#setReady(value),
      QueueNotify: (value) => {
        if (this.#hasStatus(DRIVER_OK) && value < this.#queues.length) this.#running?.onNotify(value);
      },
      InterruptACK: (value) => {
        Atomics.and(this.#pending, 0, ~value);
      },
      Status: (value) => this.#writeStatus(value),
      QueueDescLow: queueField((queue, value) => {
        queue.desc[0] = value;
      }),
      QueueDescHigh: queueField((queue, value) => {
        queue.desc[1] = value;
      }),
      QueueDriverLow: queueField((queue, value) => {
        queue.driver[0] = value;
      }),
      QueueDriverHigh: queueField((queue, value) => {
        queue.driver[1] = value;
      }),
      QueueDeviceLow: queueField((queue, value) => {
        queue.device[0] = value;
      }),
      QueueDeviceHigh: queueField((queue, value) => {
        queue.device[1] = value;
      }),
      SHMSel: (value) => {
        this.#registers.shmSel = value;
      },
    };
  }

  /** Whether the driver set this status bit and has not given up. */
  #hasStatus(bit: number): boolean {
    return (this.#registers.status & (bit | FAILED)) === bit;
  }

  #selected(): QueueRegisters | undefined {
    return this.#registers.queues[this.#registers.queueSel];
  }

  /** The selected queue while the driver may lay it out: after features are agreed on and before it is in use. */
  #configurable(): QueueRegisters | undefined {
    const queue = this.#selected();
    if (queue === undefined || queue.ready) return undefined;
    return this.#hasStatus(FEATURES_OK) && !this.#hasStatus(DRIVER_OK) ? queue : undefined;
  }

  #sharedMemory(): SharedMemoryRegion | undefined {
    return this.#options.sharedMemory?.find((region) => region.id === this.#registers.shmSel);
  }

  /** Bits that were not offered are dropped, as upstream does. */
  #acceptFeatures(value: number): void {
    const { driverFeaturesSel, driverFeatures } = this.#registers;
    if (!this.#hasStatus(DRIVER) || this.#hasStatus(FEATURES_OK)) return;
    if (driverFeaturesSel > 1) return;
    driverFeatures[driverFeaturesSel as 0 | 1] = (value & page(this.#offered, driverFeaturesSel)) >>> 0;
  }

  #setReady(value: number): void {
    if (value === 1) {
      const queue = this.#configurable();
      if (queue === undefined) return;
      const sizeMax = this.#queueSizes[this.#registers.queueSel] ?? 0;
      queue.ready = placementIsSound(this.#options.memory, placementOf(queue), sizeMax);
      if (!queue.ready) this.#needsReset(this.#registers.queueSel, 'rings-outside-memory');
    } else if (value === 0) {
      const queue = this.#selected();
      if (queue !== undefined) queue.ready = false;
      this.#queues[this.#registers.queueSel]?.close();
    }
  }

  #writeStatus(value: number): void {
    const registers = this.#registers;
    switch (classifyStatusWrite(registers.status, value)) {
      case 'reset':
        this.reset();
        return;
      case 'fail':
        registers.status |= FAILED;
        return;
      case 'acknowledge':
        registers.status |= ACKNOWLEDGE;
        return;
      case 'driver':
        registers.status |= DRIVER;
        return;
      case 'features-ok':
        // Without VIRTIO_F_VERSION_1 the driver expects the legacy layout. @spec VIRTIO-1.2 §6.2
        if ((this.#features() & VIRTIO_F_VERSION_1) !== 0n) registers.status |= FEATURES_OK;
        return;
      case 'driver-ok':
        if ((registers.status & DEVICE_NEEDS_RESET) !== 0) return;
        registers.status |= DRIVER_OK;
        this.#activate(undefined);
        return;
      case 'ignore':
        return;
    }
  }

  #features(): bigint {
    const [low, high] = this.#registers.driverFeatures;
    return BigInt(low) | (BigInt(high) << 32n);
  }

  #activate(saved: TransportState['active']): void {
    assert(this.#running === undefined, 'an active device is not activated again');
    const { device, backend, memory } = this.#options;
    const features = this.#features();
    this.#queues = this.#registers.queues.map((registers, index) => this.#createQueue(registers, index, features));
    saved?.queues.forEach((state, index) => {
      this.#queues[index]?.restore(state);
    });
    this.#running = device.activate(
      {
        queues: this.#queues as unknown as QueuesOf<Sizes>, // the record's own sizes say how many there are
        memory,
        features,
        saved: saved?.device,
        log: this.#log,
        configChanged: () => this.#configChanged(),
      },
      backend,
    );
  }

  #createQueue(registers: QueueRegisters, index: number, features: bigint): Virtqueue {
    const { memory } = this.#options;
    const placement = placementOf(registers);
    const sound = registers.ready && placementIsSound(memory, placement, this.#queueSizes[index] ?? 0);
    return new Virtqueue({
      index,
      memory,
      host: this.#queueHost(),
      rings: sound ? placement : undefined,
      eventIdx: (features & VIRTIO_F_EVENT_IDX) !== 0n,
      indirect: (features & VIRTIO_F_INDIRECT_DESC) !== 0n,
    });
  }

  #queueHost(): QueueHost {
    return {
      interrupt: () => this.#interrupt(VIRTIO_MMIO_INT_VRING),
      fault: (index, fault) => this.#needsReset(index, fault),
      again: (index) => {
        const running = this.#running;
        this.#options.schedule?.(() => {
          if (running !== undefined && running === this.#running) running.onNotify(index);
        });
      },
    };
  }

  #configChanged(): void {
    this.#configGeneration = (this.#configGeneration + 1) >>> 0;
    if (this.#hasStatus(DRIVER_OK)) this.#interrupt(VIRTIO_MMIO_INT_CONFIG);
  }

  /** An edge per event, also while earlier bits wait for their acknowledgement: as an irqfd does. */
  #interrupt(bit: number): void {
    Atomics.or(this.#pending, 0, bit);
    this.#options.irq.pulse();
  }

  /** The device gives up until the driver resets it. Logged once, counted always. @spec VIRTIO-1.2 §2.1.2 */
  #needsReset(queueIndex: number, reason: string): void {
    this.#faults += 1;
    if (this.#faults === 1) this.#log('warn', `${this.#options.device.name}: queue ${queueIndex} is broken: ${reason}`);
    for (const queue of this.#queues) queue.close();
    this.#registers.status |= DEVICE_NEEDS_RESET;
    if (this.#hasStatus(DRIVER_OK)) this.#interrupt(VIRTIO_MMIO_INT_CONFIG);
  }
}

const ALL_ONES = 0xffff_ffff;

function highHalf(value: number | undefined): number {
  return value === undefined ? ALL_ONES : Math.floor(value / 2 ** 32);
}

/** 32 feature bits; there are none beyond the first 64. */
function page(features: bigint, select: number): number {
  return select > 1 ? 0 : Number((features >> BigInt(32 * select)) & 0xffff_ffffn);
}

function placementOf(queue: QueueRegisters): RingPlacement {
  const { size, desc, driver, device } = queue;
  return { size, desc: addressOf(desc), driver: addressOf(driver), device: addressOf(device) };
}
