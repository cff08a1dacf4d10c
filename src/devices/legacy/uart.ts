import type { AccessSize, BusDevice, IrqLine } from '../../bus/bus.ts';
import type { SerialBackend } from './backend.ts';

export type { SerialBackend } from './backend.ts';

/** Ports and interrupts of the four PC serial ports. */
export const COM_PORTS = [
  { base: 0x3f8, irq: 4 },
  { base: 0x2f8, irq: 3 },
  { base: 0x3e8, irq: 4 },
  { base: 0x2e8, irq: 3 },
] as const;
export const UART_PORT_COUNT = 8;

/** Register offsets. @spec NS16550 §8.0 */
const DATA = 0; // RBR, THR; divisor low
const IER = 1; // divisor high
const IIR_FCR = 2;
const LCR = 3;
const MCR = 4;
const LSR = 5;
const MSR = 6;
const SCR = 7;

const IER_RECEIVED = 0x01;
const IER_TRANSMIT_EMPTY = 0x02;

const IIR_NONE = 0x01;
const IIR_TRANSMIT_EMPTY = 0x02;
const IIR_RECEIVED = 0x04;
const IIR_FIFO_ENABLED = 0xc0;

const LCR_DIVISOR_LATCH = 0x80;
const FCR_CLEAR_RECEIVER = 0x02;

const MCR_DTR = 0x01;
const MCR_RTS = 0x02;
const MCR_OUT1 = 0x04;
const MCR_OUT2 = 0x08;
const MCR_LOOPBACK = 0x10;

const LSR_DATA_READY = 0x01;
const LSR_TRANSMITTER_IDLE = 0x60; // THR and shift register empty

const MSR_CTS = 0x10;
const MSR_DSR = 0x20;
const MSR_RI = 0x40;
const MSR_DCD = 0x80;

const FIFO_BYTES = 64;

export interface UartState {
  readonly version: 1;
  readonly divisor: number;
  readonly registers: readonly [ier: number, lcr: number, mcr: number, scr: number];
  readonly transmitEmptyPending: boolean;
  readonly received: readonly number[];
  /** The byte that the line has not taken yet. */
  readonly held?: number;
}

/**
 * A 16550A serial port. Sending takes no time while the line takes bytes; while it does not, one byte waits in the
 * transmitter, which says that it is busy, and what a guest sends without asking is lost. The interrupt line follows what is pending, and drops for a moment
 * between two reasons, so that edge-triggered inputs see each. @spec NS16550
 * @quirk IIR shows enabled FIFOs always, as upstream's does
 * @unsupported NS16550 modem-status, line-status and timeout interrupts
 */
export class Uart implements BusDevice {
  readonly #irq: IrqLine;
  readonly #backend: SerialBackend;
  readonly #received: number[] = [];
  #divisor = 12;
  #ier = 0;
  #lcr = 0x03;
  #mcr = MCR_OUT2;
  #scr = 0;
  #transmitEmptyPending = false;
  #refused = false;
  /** What the transmitter holds while the line takes nothing. */
  #held: number | undefined;
  #level = false;

  constructor(irq: IrqLine, backend: SerialBackend) {
    this.#irq = irq;
    this.#backend = backend;
  }

  /** Bytes for the guest. @returns how many were taken; the rest may come after `onRoom` */
  receive(bytes: Uint8Array): number {
    if (this.#mcr & MCR_LOOPBACK) {
      this.#refused = bytes.length > 0; // the line is cut; the sender keeps its bytes until it is not
      return 0;
    }
    const taken = Math.min(bytes.length, FIFO_BYTES - this.#received.length);
    for (let i = 0; i < taken; i++) this.#received.push(bytes[i]!);
    this.#refused = taken < bytes.length;
    this.#update();
    return taken;
  }

  /** The line takes bytes again. */
  resume(): void {
    if (this.#held === undefined || !this.#backend.write(this.#held)) return;
    this.#held = undefined;
    this.#transmitEmptyPending = true;
    this.#update();
  }

  read(offset: number, size: AccessSize): number {
    if (size !== 1) return 0;
    switch (offset) {
      case DATA:
        return this.#lcr & LCR_DIVISOR_LATCH ? this.#divisor & 0xff : this.#readByte();
      case IER:
        return this.#lcr & LCR_DIVISOR_LATCH ? this.#divisor >> 8 : this.#ier;
      case IIR_FCR:
        return this.#readIir();
      case LCR:
        return this.#lcr;
      case MCR:
        return this.#mcr;
      case LSR:
        return (this.#held === undefined ? LSR_TRANSMITTER_IDLE : 0) | (this.#received.length > 0 ? LSR_DATA_READY : 0);
      case MSR:
        return this.#modemStatus();
      default:
        return this.#scr;
    }
  }

  write(offset: number, size: AccessSize, value: number): void {
    if (size !== 1) return;
    const latch = (this.#lcr & LCR_DIVISOR_LATCH) !== 0;
    if (offset === DATA && latch) this.#divisor = (this.#divisor & 0xff00) | value;
    else if (offset === DATA) this.#send(value);
    else if (offset === IER && latch) this.#divisor = (this.#divisor & 0xff) | (value << 8);
    else if (offset === IER) this.#writeIer(value);
    else if (offset === IIR_FCR) this.#writeFcr(value);
    else if (offset === LCR) this.#lcr = value;
    else if (offset === MCR) this.#writeMcr(value);
    else if (offset === SCR) this.#scr = value;
  }

  save(): UartState {
    return {
      version: 1,
      divisor: this.#divisor,
      registers: [this.#ier, this.#lcr, this.#mcr, this.#scr],
      transmitEmptyPending: this.#transmitEmptyPending,
      received: [...this.#received],
      ...(this.#held !== undefined && { held: this.#held }),
    };
  }

  restore(state: UartState): void {
    this.#divisor = state.divisor;
    [this.#ier, this.#lcr, this.#mcr, this.#scr] = state.registers;
    this.#transmitEmptyPending = state.transmitEmptyPending;
    this.#received.splice(0, this.#received.length, ...state.received);
    this.#held = state.held;
    this.#update();
    this.resume();
  }

  #readByte(): number {
    const byte = this.#received.shift() ?? 0;
    this.#update();
    if (this.#received.length === 0) this.#tellRoom();
    return byte;
  }

  #send(byte: number): void {
    this.#transmitEmptyPending = false;
    this.#update();
    if (this.#mcr & MCR_LOOPBACK) {
      if (this.#received.length < FIFO_BYTES) this.#received.push(byte);
    } else if (this.#held !== undefined) {
      return; // overrun
    } else if (!this.#backend.write(byte)) {
      this.#held = byte;
      return;
    }
    this.#transmitEmptyPending = true;
    this.#update();
  }

  #readIir(): number {
    const reason = this.#pending();
    if (reason === IIR_TRANSMIT_EMPTY) this.#transmitEmptyPending = false; // reading it is the acknowledgement
    this.#update();
    return reason | IIR_FIFO_ENABLED;
  }

  #writeIer(value: number): void {
    const enabling = value & ~this.#ier & IER_TRANSMIT_EMPTY;
    this.#ier = value & 0x0f;
    if (enabling && this.#held === undefined) this.#transmitEmptyPending = true;
    this.#update();
  }

  #writeFcr(value: number): void {
    if (!(value & FCR_CLEAR_RECEIVER)) return;
    this.#received.length = 0;
    this.#update();
    this.#tellRoom();
  }

  #writeMcr(value: number): void {
    this.#mcr = value & 0x1f;
    if (!(this.#mcr & MCR_LOOPBACK)) this.#tellRoom();
  }

  #tellRoom(): void {
    if (!this.#refused) return;
    this.#refused = false;
    this.#backend.onRoom?.();
  }

  /** In loopback the modem outputs come back as inputs; else the other end is there and ready. */
  #modemStatus(): number {
    if (!(this.#mcr & MCR_LOOPBACK)) return MSR_CTS | MSR_DSR | MSR_DCD;
    const back = (output: number, input: number): number => (this.#mcr & output ? input : 0);
    return back(MCR_RTS, MSR_CTS) | back(MCR_DTR, MSR_DSR) | back(MCR_OUT1, MSR_RI) | back(MCR_OUT2, MSR_DCD);
  }

  #pending(): number {
    if (this.#ier & IER_RECEIVED && this.#received.length > 0) return IIR_RECEIVED;
    if (this.#ier & IER_TRANSMIT_EMPTY && this.#transmitEmptyPending) return IIR_TRANSMIT_EMPTY;
    return IIR_NONE;
  }

  #update(): void {
    const level = this.#pending() !== IIR_NONE;
    if (level === this.#level) return;
    this.#level = level;
    this.#irq.set(level);
  }
}
