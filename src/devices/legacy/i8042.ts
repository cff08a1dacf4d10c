import type { AccessSize, BusDevice, IrqLine } from '../../bus/bus.ts';

/** The ports the device answers; 0x61 between them belongs to the timer hardware. */
export const I8042_PORTS = { base: 0x60, length: 5 } as const;
export const I8042_IRQ = 1;

const DATA = 0;
const COMMAND = 4;

/** Controller commands. They are those of the PS/2 controller. */
const COMMANDS = {
  readControlByte: 0x20,
  writeControlByte: 0x60,
  selfTest: 0xaa,
  testKeyboardPort: 0xab,
  readOutputPort: 0xd0,
  writeOutputPort: 0xd1,
  reset: 0xfe,
} as const;

const STATUS_OUTPUT_FULL = 0x01;
const STATUS_LAST_WAS_COMMAND = 0x08;
const STATUS_KEYBOARD_ENABLED = 0x10;

const CONTROL_KEYBOARD_INTERRUPT = 0x01;
const CONTROL_SELF_TEST_PASSED = 0x04;

const KEYBOARD_ACK = 0xfa;
const BUFFER_BYTES = 16;

export interface I8042State {
  readonly version: 1;
  readonly status: number;
  readonly control: number;
  readonly outputPort: number;
  readonly command: number;
  readonly buffer: readonly number[];
}

export interface I8042Options {
  readonly irq: IrqLine;
  /** The guest pulsed the processor's reset line, which is how Linux reboots with `reboot=k`. */
  readonly onReset: () => void;
}

/** The keyboard controller, as far as guests use it here: a reset button and a keyboard that acknowledges. */
export class I8042 implements BusDevice {
  readonly #options: I8042Options;
  readonly #buffer: number[] = [];
  #status = STATUS_KEYBOARD_ENABLED;
  #control = CONTROL_SELF_TEST_PASSED | CONTROL_KEYBOARD_INTERRUPT;
  #outputPort = 0;
  /** The command that waits for its data byte, or 0. */
  #command = 0;

  constructor(options: I8042Options) {
    this.#options = options;
  }

  read(offset: number, size: AccessSize): number {
    if (size !== 1) return 0;
    if (offset === COMMAND) return this.#status;
    return offset === DATA ? this.#readData() : 0;
  }

  write(offset: number, size: AccessSize, value: number): void {
    if (size !== 1) return;
    if (offset === COMMAND) this.#writeCommand(value);
    else if (offset === DATA) this.#writeData(value);
  }

  save(): I8042State {
    return {
      version: 1,
      status: this.#status,
      control: this.#control,
      outputPort: this.#outputPort,
      command: this.#command,
      buffer: [...this.#buffer],
    };
  }

  restore(state: I8042State): void {
    this.#status = state.status;
    this.#control = state.control;
    this.#outputPort = state.outputPort;
    this.#command = state.command;
    this.#buffer.splice(0, this.#buffer.length, ...state.buffer);
  }

  #readData(): number {
    const byte = this.#buffer.shift() ?? 0;
    if (this.#buffer.length === 0) this.#status &= ~STATUS_OUTPUT_FULL;
    else this.#interrupt();
    return byte;
  }

  #writeCommand(command: number): void {
    this.#command = 0;
    this.#status |= STATUS_LAST_WAS_COMMAND;
    switch (command) {
      case COMMANDS.readControlByte:
        this.#answer(this.#control);
        return;
      case COMMANDS.readOutputPort:
        this.#answer(this.#outputPort);
        return;
      case COMMANDS.selfTest:
        this.#answer(0x55);
        return;
      case COMMANDS.testKeyboardPort:
        this.#answer(0x00);
        return;
      case COMMANDS.writeControlByte:
      case COMMANDS.writeOutputPort:
        this.#command = command;
        return;
      case COMMANDS.reset:
        this.#options.onReset();
        return;
      default: // not there
    }
  }

  #writeData(value: number): void {
    const command = this.#command;
    this.#command = 0;
    this.#status &= ~STATUS_LAST_WAS_COMMAND;
    if (command === COMMANDS.writeControlByte) this.#control = value;
    else if (command === COMMANDS.writeOutputPort) this.#outputPort = value;
    else this.#push(KEYBOARD_ACK);
  }

  /** A controller answer replaces what nobody has read. */
  #answer(byte: number): void {
    this.#buffer.length = 0;
    this.#push(byte);
  }

  #push(byte: number): void {
    if (this.#buffer.length === BUFFER_BYTES) return;
    this.#buffer.push(byte);
    this.#status |= STATUS_OUTPUT_FULL;
    this.#interrupt();
  }

  #interrupt(): void {
    if (this.#control & CONTROL_KEYBOARD_INTERRUPT) this.#options.irq.pulse();
  }
}
