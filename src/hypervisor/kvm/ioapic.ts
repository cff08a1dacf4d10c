import type { GuestIo } from '../contract.ts';
import type { Msi } from './vm.ts';

/** The index selects what the window shows. @spec I82093AA §3 */
const BASE = 0xfec0_0000;
const LENGTH = 0x1000;
const IOREGSEL = 0x00;
const IOWIN = 0x10;
const EOI = 0x40;
const ID = 0x00;
const VERSION = 0x01;
const REDIRECTION = 0x10;

export const IOAPIC_PINS = 24;
/** Version 0x20 with the number of the last pin. */
const VERSION_VALUE = 0x20 | ((IOAPIC_PINS - 1) << 16);

/** A redirection entry, low half. The two read-only bits are not kept here. */
const VECTOR = 0xff;
const DELIVERY_MODE = 0x700;
const LOGICAL = 1 << 11;
const REMOTE_IRR = 1 << 14;
const LEVEL = 1 << 15;
const MASKED = 1 << 16;
const WRITABLE = VECTOR | DELIVERY_MODE | LOGICAL | (1 << 13) | LEVEL | MASKED;

/** What the I/O APIC does to the rest: KVM's local APICs. */
export interface ApicBus {
  /** Edges of these pins become these messages from now on, and no others do. */
  route(routes: ReadonlyMap<number, Msi>): void;
  send(msi: Msi): void;
}

/**
 * The I/O APIC of a VM whose irqchip is split: KVM keeps the local APICs, the pins are here. Edges of a pin do not come
 * by: KVM turns them into the message that was routed. Levels do.
 */
export class SplitIoapic {
  readonly #bus: ApicBus;
  readonly #low = new Uint32Array(IOAPIC_PINS).fill(MASKED);
  readonly #high = new Uint32Array(IOAPIC_PINS);
  readonly #level: boolean[] = Array.from({ length: IOAPIC_PINS }, () => false);
  readonly #serviced: boolean[] = Array.from({ length: IOAPIC_PINS }, () => false);
  #index = 0;
  #id = 0;

  constructor(bus: ApicBus) {
    this.#bus = bus;
  }

  /** Drives a pin; an entry that is level-triggered sends again for as long as it is high. */
  set(pin: number, level: boolean): void {
    const rises = level && this.#level[pin] !== true;
    this.#level[pin] = level;
    const low = this.#low[pin] ?? MASKED;
    if ((low & LEVEL) !== 0) this.#service(pin);
    else if (rises && (low & MASKED) === 0) this.#bus.send(this.#message(pin));
  }

  /** A processor finished with this vector. */
  endOfInterrupt(vector: number): void {
    for (let pin = 0; pin < IOAPIC_PINS; pin++) {
      const low = this.#low[pin] ?? MASKED;
      if ((low & LEVEL) === 0 || (low & VECTOR) !== vector) continue;
      this.#serviced[pin] = false;
      this.#service(pin);
    }
  }

  /** The machine's devices, with this one among them. */
  within(io: GuestIo): GuestIo {
    const isOurs = (gpa: number): boolean => gpa >= BASE && gpa < BASE + LENGTH;
    return {
      portRead: (port, size) => io.portRead(port, size),
      portWrite: (port, size, value) => io.portWrite(port, size, value),
      mmioRead: (gpa, size) => (isOurs(gpa) ? this.#read(gpa - BASE) : io.mmioRead(gpa, size)),
      mmioWrite: (gpa, size, value) => {
        if (isOurs(gpa)) this.#write(gpa - BASE, value);
        else io.mmioWrite(gpa, size, value);
      },
    };
  }

  #read(offset: number): number {
    if (offset === IOREGSEL) return this.#index;
    if (offset !== IOWIN) return 0;
    if (this.#index === ID) return this.#id;
    if (this.#index === VERSION) return VERSION_VALUE;
    const pin = (this.#index - REDIRECTION) >> 1;
    if (pin < 0 || pin >= IOAPIC_PINS) return 0;
    if ((this.#index & 1) !== 0) return this.#high[pin] ?? 0;
    return ((this.#low[pin] ?? 0) | (this.#serviced[pin] === true ? REMOTE_IRR : 0)) >>> 0;
  }

  #write(offset: number, value: number): void {
    if (offset === IOREGSEL) this.#index = value & 0xff;
    else if (offset === EOI) this.endOfInterrupt(value & VECTOR);
    else if (offset === IOWIN) this.#writeWindow(value);
  }

  #writeWindow(value: number): void {
    if (this.#index === ID) this.#id = value & 0x0f00_0000;
    const pin = (this.#index - REDIRECTION) >> 1;
    if (pin < 0 || pin >= IOAPIC_PINS) return;
    if ((this.#index & 1) !== 0) this.#high[pin] = value & 0xff00_0000;
    else this.#low[pin] = value & WRITABLE;
    if (((this.#low[pin] ?? 0) & LEVEL) === 0) this.#serviced[pin] = false;
    this.#bus.route(this.#routes());
    this.#service(pin);
  }

  #service(pin: number): void {
    const low = this.#low[pin] ?? MASKED;
    if (this.#level[pin] !== true || this.#serviced[pin] === true || (low & LEVEL) === 0 || (low & MASKED) !== 0)
      return;
    this.#serviced[pin] = true;
    this.#bus.send(this.#message(pin));
  }

  #routes(): ReadonlyMap<number, Msi> {
    const routes = new Map<number, Msi>();
    for (let pin = 0; pin < IOAPIC_PINS; pin++) {
      if (((this.#low[pin] ?? MASKED) & MASKED) === 0) routes.set(pin, this.#message(pin));
    }
    return routes;
  }

  /** @spec SDM-3A §11.11 "Message Signalled Interrupts" */
  #message(pin: number): Msi {
    const low = this.#low[pin] ?? 0;
    const destination = (this.#high[pin] ?? 0) >>> 24;
    const address = 0xfee0_0000 + destination * 0x1000 + ((low & LOGICAL) !== 0 ? 4 : 0);
    // Level messages say "assert"; there is no other.
    const data = (low & (VECTOR | DELIVERY_MODE | LEVEL)) | ((low & LEVEL) !== 0 ? 1 << 14 : 0);
    return { address, data };
  }
}
