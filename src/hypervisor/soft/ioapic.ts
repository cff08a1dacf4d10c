import type { AccessSize, BusDevice } from '../../bus/bus.ts';
import { type ApicBus, apicMessage, DELIVERY } from './apic-bus.ts';

export const IOAPIC_PINS = 24;

/** Registers behind the index register. @spec I82093AA §3.2 */
const IOAPICID = 0x00;
const IOAPICVER = 0x01;
const IOAPICARB = 0x02;
const IOREDTBL = 0x10;

const VERSION = 0x11;

/** Bits of the low word of a redirection entry. */
const DELIVERY_STATUS = 1 << 12;
const REMOTE_IRR = 1 << 14;
const LEVEL_TRIGGERED = 1 << 15;
const MASKED = 1 << 16;
const LOGICAL = 1 << 11;
/** What software may write. */
const WRITABLE = 0x1_ffff & ~(DELIVERY_STATUS | REMOTE_IRR);

export interface IoapicState {
  readonly version: 1;
  readonly index: number;
  readonly id: number;
  /** Low and high word of each entry, in turn. */
  readonly table: readonly number[];
  /** Input levels, one bit per pin. */
  readonly lines: number;
}

/**
 * The I/O APIC: 24 pins, each routed to local APICs by its redirection entry. An edge on a masked pin is lost, as
 * on the chip; a level is seen when the pin is unmasked. @spec I82093AA
 */
export class Ioapic implements BusDevice {
  readonly #bus: ApicBus;
  readonly #table = new Uint32Array(IOAPIC_PINS * 2);
  readonly #message = apicMessage();
  #index = 0;
  #id = 0;
  #lines = 0;

  constructor(bus: ApicBus) {
    this.#bus = bus;
    bus.onLevelEoi = (vector) => this.#endOfInterrupt(vector);
    for (let pin = 0; pin < IOAPIC_PINS; pin++) this.#table[pin * 2] = MASKED;
  }

  /** Polarity is not applied: a source that is on says true, whatever the entry calls active. */
  setLine(pin: number, level: boolean): void {
    const bit = 1 << pin;
    const rising = level && !(this.#lines & bit);
    if (level) this.#lines |= bit;
    else this.#lines &= ~bit;
    if (!level) return;
    if (rising || this.#table[pin * 2]! & LEVEL_TRIGGERED) this.#service(pin);
  }

  read(offset: number, size: AccessSize): number {
    // Byte accesses see the register's low bytes; the window is 32 bits wide.
    const value = (offset & ~3) === 0x00 ? this.#index : (offset & ~3) === 0x10 ? this.#readRegister() : 0;
    const shifted = value >>> ((offset & 3) * 8);
    return size === 4 ? shifted : shifted & ((1 << (size * 8)) - 1);
  }

  write(offset: number, _size: AccessSize, value: number): void {
    if (offset === 0x00) this.#index = value & 0xff;
    else if (offset === 0x10) this.#writeRegister(value);
  }

  save(): IoapicState {
    return { version: 1, index: this.#index, id: this.#id, table: [...this.#table], lines: this.#lines };
  }

  restore(state: IoapicState): void {
    this.#index = state.index;
    this.#id = state.id;
    this.#table.set(state.table);
    this.#lines = state.lines;
  }

  #readRegister(): number {
    if (this.#index === IOAPICID || this.#index === IOAPICARB) return this.#id << 24;
    if (this.#index === IOAPICVER) return ((IOAPIC_PINS - 1) << 16) | VERSION;
    const word = this.#index - IOREDTBL;
    return word >= 0 && word < IOAPIC_PINS * 2 ? this.#table[word]! : 0;
  }

  #writeRegister(value: number): void {
    if (this.#index === IOAPICID) {
      this.#id = (value >>> 24) & 0x0f;
      return;
    }
    const word = this.#index - IOREDTBL;
    if (word < 0 || word >= IOAPIC_PINS * 2) return;
    if (word & 1) {
      this.#table[word] = value & 0xff00_0000;
      return;
    }
    this.#writeLow(word >> 1, value);
  }

  #writeLow(pin: number, value: number): void {
    const old = this.#table[pin * 2]!;
    // An edge-triggered entry has no remote IRR: guests switch to edge and back to clear a stuck one.
    const kept = value & LEVEL_TRIGGERED ? old & REMOTE_IRR : 0;
    this.#table[pin * 2] = (value & WRITABLE) | kept;
    if (value & LEVEL_TRIGGERED && this.#lines & (1 << pin)) this.#service(pin);
  }

  #service(pin: number): void {
    const low = this.#table[pin * 2]!;
    const levelTriggered = (low & LEVEL_TRIGGERED) !== 0;
    if (low & MASKED || (levelTriggered && low & REMOTE_IRR)) return;
    const message = this.#message;
    message.vector = low & 0xff;
    message.delivery = (low >>> 8) & 7;
    message.logical = (low & LOGICAL) !== 0;
    message.level = levelTriggered;
    message.destination = this.#table[pin * 2 + 1]! >>> 24;
    // The chip cannot start processors; such an entry would be the guest's mistake.
    if (message.delivery === DELIVERY.startup) return;
    const taken = this.#bus.deliver(message);
    if (taken && levelTriggered && message.delivery <= DELIVERY.lowest) this.#table[pin * 2]! |= REMOTE_IRR;
  }

  #endOfInterrupt(vector: number): void {
    for (let pin = 0; pin < IOAPIC_PINS; pin++) {
      const low = this.#table[pin * 2]!;
      if ((low & 0xff) !== vector || !(low & LEVEL_TRIGGERED) || !(low & REMOTE_IRR)) continue;
      this.#table[pin * 2] = low & ~REMOTE_IRR;
      if (this.#lines & (1 << pin)) this.#service(pin);
    }
  }
}
