import type { AccessSize, BusDevice, IrqLine } from '../../bus/bus.ts';

/** Input clock of all three counters. @spec I8254 */
export const PIT_HZ = 1_193_182;
const NS_PER_TICK = 1e9 / PIT_HZ;

/** A divisor of a few counts would leave the guest, and a core of the host, nothing but interrupts. */
const INTERRUPT_GAP_MIN_NS = 100_000;

/** How the two bytes of a count are transferred. */
const ACCESS_LOW = 1;
const ACCESS_HIGH = 2;
const ACCESS_BOTH = 3;

/** One counter as plain data. */
export interface PitChannelState {
  mode: number;
  access: number;
  bcd: boolean;
  /** 1 to 65536 (10000 in BCD); 0 before the first count is written. */
  count: number;
  startNs: number;
  gate: boolean;
  /** A low byte waits for its high byte. */
  lowByte: number;
  writeHighNext: boolean;
  readHighNext: boolean;
  latched: number;
  latchedStatus: number;
  /** Interrupts given since the count was written (channel 0). */
  fired: number;
}

export interface PitState {
  readonly version: 1;
  readonly savedAtNs: number;
  readonly lastPulseNs: number;
  readonly channels: readonly PitChannelState[];
}

/**
 * The 8254 interval timer. Counters are functions of the clock: nothing runs between accesses except what raises
 * IRQ 0. BCD counts as the chip does; gates of channels 0 and 1 are tied high. @spec I8254
 * @quirk interrupts of channel 0 come at least 100 microseconds apart, and missed ones are dropped
 */
export class Pit {
  readonly #nowNs: () => number;
  readonly #irq0: IrqLine;
  readonly #channels: readonly [PitChannelState, PitChannelState, PitChannelState];
  #speakerData = false;
  #lastPulseNs = Number.NEGATIVE_INFINITY;

  constructor(nowNs: () => number, irq0: IrqLine) {
    this.#nowNs = nowNs;
    this.#irq0 = irq0;
    this.#channels = [resetChannel(true), resetChannel(true), resetChannel(false)];
  }

  /** Ports 0x40 to 0x43. */
  readonly registers: BusDevice = {
    read: (offset: number, _size: AccessSize): number =>
      offset === 3 ? 0xff : readCount(this.#at(offset), this.#nowNs()),
    write: (offset: number, _size: AccessSize, value: number): void => {
      if (offset === 3) this.#control(value & 0xff);
      else this.#writeCount(offset, value & 0xff);
    },
  };

  /** Port 0x61: gate and output of channel 2, and the refresh bit that toggles every 15 microseconds. */
  readonly systemControl: BusDevice = {
    read: (): number => {
      const now = this.#nowNs();
      const channel = this.#channels[2];
      const refresh = Math.floor(now / 15_085) & 1;
      const output = isHigh(channel, now) ? 0x20 : 0;
      return (channel.gate ? 1 : 0) | (this.#speakerData ? 2 : 0) | (refresh << 4) | output;
    },
    write: (_offset: number, _size: AccessSize, value: number): void => {
      this.#speakerData = (value & 2) !== 0;
      this.#setGate2((value & 1) !== 0);
    },
  };

  /** When IRQ 0 is due; Infinity when it is not. */
  nextDeadlineNs(): number {
    const channel = this.#channels[0];
    const next = nextRise(channel);
    return Math.max(next, this.#lastPulseNs + INTERRUPT_GAP_MIN_NS);
  }

  tick(nowNs: number): void {
    if (nowNs < this.nextDeadlineNs()) return;
    const channel = this.#channels[0];
    channel.fired = Math.max(channel.fired + 1, Math.floor(ticks(channel, nowNs) / period(channel)));
    this.#lastPulseNs = nowNs;
    this.#irq0.pulse();
  }

  save(): PitState {
    return {
      version: 1,
      savedAtNs: this.#nowNs(),
      lastPulseNs: Math.max(this.#lastPulseNs, 0),
      channels: this.#channels.map((channel) => ({ ...channel })),
    };
  }

  restore(state: PitState): void {
    const shift = this.#nowNs() - state.savedAtNs;
    this.#channels.forEach((channel, index) => {
      Object.assign(channel, state.channels[index]);
      channel.startNs += shift;
    });
    this.#lastPulseNs = state.lastPulseNs + shift;
  }

  #at(index: number): PitChannelState {
    return this.#channels[index as 0 | 1 | 2];
  }

  #control(value: number): void {
    const select = value >> 6;
    if (select === 3) {
      this.#readBack(value);
      return;
    }
    const channel = this.#at(select);
    const access = (value >> 4) & 3;
    if (access === 0) {
      latchCount(channel, this.#nowNs());
      return;
    }
    const mode = (value >> 1) & 7;
    Object.assign(channel, resetChannel(channel.gate), {
      access,
      mode: mode > 5 ? mode - 4 : mode,
      bcd: (value & 1) !== 0,
    });
  }

  #readBack(value: number): void {
    for (let index = 0; index < 3; index++) {
      if (!(value & (2 << index))) continue;
      const channel = this.#at(index);
      if (!(value & 0x10)) latchStatus(channel, this.#nowNs());
      if (!(value & 0x20)) latchCount(channel, this.#nowNs());
    }
  }

  #writeCount(index: number, byte: number): void {
    const channel = this.#at(index);
    if (channel.access === ACCESS_LOW) this.#load(channel, byte);
    else if (channel.access === ACCESS_HIGH) this.#load(channel, byte << 8);
    else if (!channel.writeHighNext) {
      channel.lowByte = byte;
      channel.writeHighNext = true;
    } else {
      channel.writeHighNext = false;
      this.#load(channel, (byte << 8) | channel.lowByte);
    }
  }

  #load(channel: PitChannelState, written: number): void {
    const value = channel.bcd ? fromBcd(written) : written;
    channel.count = value === 0 ? modulus(channel) : value;
    channel.startNs = this.#nowNs();
    channel.fired = 0;
  }

  #setGate2(level: boolean): void {
    const channel = this.#channels[2];
    // A rising gate starts the count again in the modes that look at the edge.
    if (level && !channel.gate && channel.mode !== 0 && channel.mode !== 4) channel.startNs = this.#nowNs();
    channel.gate = level;
  }
}

function resetChannel(gate: boolean): PitChannelState {
  return {
    mode: 0,
    access: ACCESS_BOTH,
    bcd: false,
    count: 0,
    startNs: 0,
    gate,
    lowByte: 0,
    writeHighNext: false,
    readHighNext: false,
    latched: -1,
    latchedStatus: -1,
    fired: 0,
  };
}

function isPeriodic(channel: PitChannelState): boolean {
  return channel.mode === 2 || channel.mode === 3;
}

function modulus(channel: PitChannelState): number {
  return channel.bcd ? 10_000 : 65_536;
}

function ticks(channel: PitChannelState, nowNs: number): number {
  return Math.max(0, Math.floor((nowNs - channel.startNs) / NS_PER_TICK));
}

/** When the output of channel 0 rises next after those that were counted. */
function nextRise(channel: PitChannelState): number {
  if (channel.count === 0 || channel.mode === 1 || channel.mode === 5) return Number.POSITIVE_INFINITY;
  if (!isPeriodic(channel) && channel.fired > 0) return Number.POSITIVE_INFINITY;
  return channel.startNs + Math.ceil((channel.fired + 1) * period(channel) * NS_PER_TICK);
}

/** Modes 2 and 3 do not work with a count of 1. */
function period(channel: PitChannelState): number {
  return isPeriodic(channel) ? Math.max(channel.count, 2) : channel.count;
}

/** The counting element, before BCD. */
function current(channel: PitChannelState, nowNs: number): number {
  if (channel.count === 0) return 0;
  const passed = ticks(channel, nowNs);
  if (channel.mode === 2) return channel.count - (passed % channel.count);
  if (channel.mode === 3) return channel.count - ((2 * passed) % channel.count);
  const size = modulus(channel);
  return (((channel.count - passed) % size) + size) % size;
}

/** The output pin. */
function isHigh(channel: PitChannelState, nowNs: number): boolean {
  if (channel.count === 0) return channel.mode !== 0;
  const passed = ticks(channel, nowNs);
  switch (channel.mode) {
    case 2:
      return passed % channel.count !== channel.count - 1;
    case 3:
      return passed % channel.count < (channel.count + 1) >> 1;
    case 4:
    case 5:
      return passed !== channel.count;
    default:
      return passed >= channel.count;
  }
}

function latchCount(channel: PitChannelState, nowNs: number): void {
  if (channel.latched >= 0) return;
  channel.latched = counterBits(channel, nowNs);
}

function latchStatus(channel: PitChannelState, nowNs: number): void {
  if (channel.latchedStatus >= 0) return;
  const output = isHigh(channel, nowNs) ? 0x80 : 0;
  const nullCount = channel.count === 0 ? 0x40 : 0;
  channel.latchedStatus = output | nullCount | (channel.access << 4) | (channel.mode << 1) | (channel.bcd ? 1 : 0);
}

function readCount(channel: PitChannelState, nowNs: number): number {
  if (channel.latchedStatus >= 0) {
    const status = channel.latchedStatus;
    channel.latchedStatus = -1;
    return status;
  }
  const value = channel.latched >= 0 ? channel.latched : counterBits(channel, nowNs);
  const high = channel.access === ACCESS_HIGH || (channel.access === ACCESS_BOTH && channel.readHighNext);
  if (channel.access === ACCESS_BOTH) channel.readHighNext = !channel.readHighNext;
  if (channel.access !== ACCESS_BOTH || high) channel.latched = -1;
  return high ? value >> 8 : value & 0xff;
}

/** What the guest reads: 16 bits, in which a full count shows as 0. */
function counterBits(channel: PitChannelState, nowNs: number): number {
  const value = current(channel, nowNs) % modulus(channel);
  return channel.bcd ? toBcd(value) : value;
}

function fromBcd(value: number): number {
  return (value >> 12) * 1000 + ((value >> 8) & 15) * 100 + ((value >> 4) & 15) * 10 + (value & 15);
}

function toBcd(value: number): number {
  const digit = (unit: number): number => Math.floor(value / unit) % 10;
  return (digit(1000) << 12) | (digit(100) << 8) | (digit(10) << 4) | digit(1);
}
