import { assert } from '../../base/assert.ts';
import type { Clock } from '../../base/clock.ts';
import type { AccessSize, Bus, IrqLine } from '../../bus/bus.ts';
import type { GuestIo } from '../contract.ts';
import { ApicBus } from './apic-bus.ts';
import { IOAPIC_PINS, Ioapic, type IoapicState } from './ioapic.ts';
import { Lapic, type LapicState } from './lapic.ts';
import { ownsLapicPage, readLapicPage, writeLapicPage } from './lapic-access.ts';
import type { TscSource } from './lapic-timer.ts';
import { Pic, type PicState } from './pic.ts';
import { Pit, type PitState } from './pit.ts';

const IOAPIC_BASE = 0xfec0_0000;
const PIC_LINES = 16;

export interface InterruptControllerOptions {
  readonly clock: Clock;
  /** The TSC of each vCPU, by index; as many local APICs are made. */
  readonly tsc: readonly TscSource[];
  /** Without PIC and interval timer: what a guest does to their ports goes to the machine's devices. */
  readonly split?: boolean;
}

export interface InterruptControllerState {
  readonly version: 1;
  readonly pic: PicState;
  readonly ioapic: IoapicState;
  readonly pit: PitState;
  readonly lapics: readonly LapicState[];
}

/**
 * The interrupt hardware that KVM would supply: PIC pair, I/O APIC, one local APIC per vCPU, interval timer.
 * Interrupt n (n < 16) goes to PIC line n and to I/O APIC pin n, as in KVM's default routing.
 */
export class InterruptController {
  readonly pic: Pic;
  readonly ioapic: Ioapic;
  readonly pit: Pit;
  readonly lapics: readonly Lapic[];
  readonly split: boolean;
  readonly #lines: readonly IrqLine[];

  constructor({ clock, tsc, split = false }: InterruptControllerOptions) {
    this.split = split;
    const bus = new ApicBus();
    // The PIC's output is wired to the LINT0 pin of every processor; the boot processor answers it.
    this.pic = new Pic((level) => this.lapics[0]?.setLint0(level));
    this.ioapic = new Ioapic(bus);
    this.lapics = tsc.map((source, id) => {
      const acknowledgePic = id === 0 ? { acknowledgePic: () => this.pic.acknowledge() } : {};
      return new Lapic({ id, bus, clock, tsc: source, ...acknowledgePic });
    });
    this.#lines = Array.from({ length: IOAPIC_PINS }, (_, gsi) => this.#makeLine(gsi));
    this.pit = new Pit(() => clock.nowNs(), this.irqLine(0));
  }

  /** @param gsi 0-23 */
  irqLine(gsi: number): IrqLine {
    const line = this.#lines[gsi];
    assert(line !== undefined, `no interrupt line ${gsi}`);
    return line;
  }

  /** The local APIC of one vCPU. */
  lapic(cpu: number): Lapic {
    const lapic = this.lapics[cpu];
    assert(lapic !== undefined, `no local APIC ${cpu}`);
    return lapic;
  }

  /** Puts everything but the local APICs, which each vCPU sees for itself, on the buses. */
  attach(ports: Bus, mmio: Bus): void {
    mmio.attach(IOAPIC_BASE, 0x1000, this.ioapic);
    if (this.split) return;
    ports.attach(0x20, 2, this.pic.registers(0));
    ports.attach(0xa0, 2, this.pic.registers(1));
    ports.attach(0x4d0, 2, this.pic.elcr);
    ports.attach(0x40, 4, this.pit.registers);
    ports.attach(0x61, 1, this.pit.systemControl);
  }

  hasInterrupt(cpu = 0): boolean {
    return this.lapics[cpu]!.deliverable;
  }

  acknowledge(cpu = 0): number {
    return this.lapics[cpu]!.acknowledge();
  }

  /** The earliest time at which `tick` has something to do; Infinity when never. */
  nextDeadlineNs(): number {
    let next = this.pit.nextDeadlineNs();
    for (const lapic of this.lapics) next = Math.min(next, lapic.nextDeadlineNs());
    return next;
  }

  tick(nowNs: number): void {
    this.pit.tick(nowNs);
    for (const lapic of this.lapics) lapic.tick(nowNs);
  }

  save(): InterruptControllerState {
    return {
      version: 1,
      pic: this.pic.save(),
      ioapic: this.ioapic.save(),
      pit: this.pit.save(),
      lapics: this.lapics.map((lapic) => lapic.save()),
    };
  }

  restore(state: InterruptControllerState): void {
    this.ioapic.restore(state.ioapic);
    this.pit.restore(state.pit);
    this.lapics.forEach((lapic, id) => {
      const saved = state.lapics[id];
      if (saved !== undefined) lapic.restore(saved);
    });
    this.pic.restore(state.pic);
  }

  #makeLine(gsi: number): IrqLine {
    const set = (level: boolean): void => {
      if (gsi < PIC_LINES && !this.split) this.pic.setLine(gsi, level);
      this.ioapic.setLine(gsi, level);
    };
    const pulse = (): void => {
      set(true);
      set(false);
    };
    return { set, pulse };
  }
}

/**
 * What one vCPU's accesses see: the interrupt hardware first, then the machine's devices.
 * Nothing is allocated per access.
 */
export function withInterruptController(controller: InterruptController, cpu: number, io: GuestIo): GuestIo {
  const lapic = controller.lapic(cpu);
  const { pit, ioapic } = controller;
  const picRegisters = [controller.pic.registers(0), controller.pic.registers(1)] as const;
  const deviceAt = (port: number): { read: ReadPort; write: WritePort } | undefined => {
    if (port < 0x20 || port > 0x4d1 || controller.split) return undefined;
    if (port <= 0x21) return picRegisters[0];
    if (port >= 0x40 && port <= 0x43) return pit.registers;
    if (port === 0x61) return pit.systemControl;
    if (port === 0xa0 || port === 0xa1) return picRegisters[1];
    return port >= 0x4d0 ? controller.pic.elcr : undefined;
  };
  return {
    portRead: (port, size) => {
      const device = deviceAt(port);
      return device === undefined ? io.portRead(port, size) : device.read(offsetOf(port), size);
    },
    portWrite: (port, size, value) => {
      const device = deviceAt(port);
      if (device === undefined) io.portWrite(port, size, value);
      else device.write(offsetOf(port), size, value);
    },
    mmioRead: (gpa, size) => {
      if (ownsLapicPage(lapic, gpa)) return readLapicPage(lapic, gpa % 4096, size);
      if (gpa >= IOAPIC_BASE && gpa < IOAPIC_BASE + 0x1000) return ioapic.read(gpa - IOAPIC_BASE, size) >>> 0;
      return io.mmioRead(gpa, size);
    },
    mmioWrite: (gpa, size, value) => {
      if (ownsLapicPage(lapic, gpa)) writeLapicPage(lapic, gpa % 4096, value);
      else if (gpa >= IOAPIC_BASE && gpa < IOAPIC_BASE + 0x1000) ioapic.write(gpa - IOAPIC_BASE, size, value);
      else io.mmioWrite(gpa, size, value);
    },
  };
}

type ReadPort = (offset: number, size: AccessSize) => number;
type WritePort = (offset: number, size: AccessSize, value: number) => void;

/** Where a port lies in its device: all blocks but the two-byte ones start at a multiple of 4, port 0x61 is alone. */
function offsetOf(port: number): number {
  return port === 0x61 ? 0 : port & 3;
}
