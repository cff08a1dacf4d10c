import type { Clock } from '../../base/clock.ts';
import { KiB, MiB } from '../../base/units.ts';
import type { AccessSize, BusDevice } from '../../bus/bus.ts';

/** The ports the device answers; index and data are the first two. */
export const CMOS_PORTS = { base: 0x70, length: 8 } as const;

/** Register numbers. @spec MC146818 */
const RTC = {
  seconds: 0x00,
  minutes: 0x02,
  hours: 0x04,
  dayOfWeek: 0x06,
  dayOfMonth: 0x07,
  month: 0x08,
  year: 0x09,
  statusA: 0x0a,
  statusB: 0x0b,
  statusD: 0x0d,
  century: 0x32,
} as const;

/** Memory above 16 MiB and above 4 GiB in 64 KiB units, low byte first; firmware looks here. */
const MEMORY_ABOVE_16M = 0x34;
const MEMORY_ABOVE_4G = 0x5b;

const DIVIDER_32768_HZ = 0x26;
const B_BINARY = 0x04;
const B_24_HOURS = 0x02;
const D_VALID = 0x80;
const PM = 0x80;

export interface CmosState {
  readonly version: 1;
  readonly index: number;
  readonly statusB: number;
}

export interface CmosOptions {
  readonly clock: Clock;
  /** Guest RAM below and above 4 GiB. */
  readonly memory: { readonly lowBytes: number; readonly highBytes: number };
}

/**
 * CMOS memory and clock. The time is the host's, in UTC; what the guest sets it to is dropped.
 * Only byte accesses mean anything.
 *
 * @spec MC146818
 * @quirk upstream has memory sizes and no clock; a guest that asks gets the right time here
 * @unsupported MC146818 alarm, periodic and update-ended interrupts
 */
export class Cmos implements BusDevice {
  readonly #clock: Clock;
  readonly #above16M: number;
  readonly #above4G: number;
  #index = 0;
  #statusB = B_24_HOURS;

  constructor({ clock, memory }: CmosOptions) {
    this.#clock = clock;
    this.#above16M = Math.min(0xffff, Math.max(0, Math.floor((memory.lowBytes - 16 * MiB) / (64 * KiB))));
    this.#above4G = Math.min(0xff_ffff, Math.floor(memory.highBytes / (64 * KiB)));
  }

  read(offset: number, size: AccessSize): number {
    if (size !== 1) return 0;
    if (offset === 0) return this.#index;
    return offset === 1 ? this.#readData(this.#index) : 0;
  }

  write(offset: number, size: AccessSize, value: number): void {
    if (size !== 1) return;
    if (offset === 0) this.#index = value & 0x7f;
    // The data format is the guest's choice; the rest of the clock is the host's.
    else if (offset === 1 && this.#index === RTC.statusB) this.#statusB = value & (B_BINARY | B_24_HOURS);
  }

  save(): CmosState {
    return { version: 1, index: this.#index, statusB: this.#statusB };
  }

  restore(state: CmosState): void {
    this.#index = state.index;
    this.#statusB = state.statusB;
  }

  #readData(index: number): number {
    switch (index) {
      case RTC.statusA:
        return DIVIDER_32768_HZ; // never "update in progress": the whole time changes at once
      case RTC.statusB:
        return this.#statusB;
      case RTC.statusD:
        return D_VALID;
      case MEMORY_ABOVE_16M:
        return this.#above16M & 0xff;
      case MEMORY_ABOVE_16M + 1:
        return this.#above16M >> 8;
      case MEMORY_ABOVE_4G:
        return this.#above4G & 0xff;
      case MEMORY_ABOVE_4G + 1:
        return (this.#above4G >> 8) & 0xff;
      case MEMORY_ABOVE_4G + 2:
        return this.#above4G >> 16;
      default:
        return this.#readTime(index);
    }
  }

  #readTime(index: number): number {
    const time = new Date(this.#clock.wallMs());
    switch (index) {
      case RTC.seconds:
        return this.#encode(time.getUTCSeconds());
      case RTC.minutes:
        return this.#encode(time.getUTCMinutes());
      case RTC.hours:
        return this.#encodeHours(time.getUTCHours());
      case RTC.dayOfWeek:
        return this.#encode(time.getUTCDay() + 1); // Sunday is 1
      case RTC.dayOfMonth:
        return this.#encode(time.getUTCDate());
      case RTC.month:
        return this.#encode(time.getUTCMonth() + 1);
      case RTC.year:
        return this.#encode(time.getUTCFullYear() % 100);
      case RTC.century:
        return this.#encode(Math.floor(time.getUTCFullYear() / 100));
      default:
        return 0;
    }
  }

  #encode(value: number): number {
    return this.#statusB & B_BINARY ? value : (Math.floor(value / 10) << 4) | (value % 10);
  }

  #encodeHours(hours: number): number {
    if (this.#statusB & B_24_HOURS) return this.#encode(hours);
    return this.#encode(hours % 12 === 0 ? 12 : hours % 12) | (hours >= 12 ? PM : 0);
  }
}
