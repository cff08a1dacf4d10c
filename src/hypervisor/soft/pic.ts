import type { AccessSize, BusDevice } from '../../bus/bus.ts';

const CASCADE_PIN = 2;
/** Lines that are edge-triggered whatever ELCR says: timer, keyboard, cascade; RTC and FPU. */
const ELCR_MASK = [0xf8, 0xde] as const;

/** One 8259A as plain data. */
export interface PicChipState {
  irr: number;
  imr: number;
  isr: number;
  /** Current input levels, one bit per pin. */
  lines: number;
  elcr: number;
  /** Upper five bits of the vectors (ICW2). */
  base: number;
  /** Which ICW is expected next: 0 none, 2, 3, 4. */
  expect: number;
  needsIcw4: boolean;
  single: boolean;
  autoEoi: boolean;
  rotateOnAutoEoi: boolean;
  specialFullyNested: boolean;
  specialMask: boolean;
  readIsr: boolean;
  poll: boolean;
  /** The pin with the highest priority. */
  top: number;
}

export interface PicState {
  readonly version: 1;
  readonly chips: readonly [PicChipState, PicChipState];
}

/** The two cascaded 8259A interrupt controllers of a PC. @spec I8259A */
export class Pic {
  readonly #chips: [PicChipState, PicChipState] = [resetChip(), resetChip()];
  readonly #onOutput: (level: boolean) => void;
  #output = false;

  /** @param onOutput called when the level of the first chip's INT output changes */
  constructor(onOutput: (level: boolean) => void) {
    this.#onOutput = onOutput;
  }

  /** Whether INT is raised. */
  get output(): boolean {
    return this.#output;
  }

  /** @param irq 0-15 */
  setLine(irq: number, level: boolean): void {
    setPin(this.#chips[irq >> 3 ? 1 : 0], irq & 7, level);
    this.#update();
  }

  /** The INTA cycle: gives the vector, and moves the interrupt into service. */
  acknowledge(): number {
    const [master, slave] = this.#chips;
    const pin = candidate(master);
    if (pin < 0) return this.#spurious(master);
    takeIntoService(master, pin);
    if (pin !== CASCADE_PIN) {
      this.#update();
      return master.base | pin;
    }
    const slavePin = candidate(slave);
    if (slavePin < 0) return this.#spurious(slave);
    takeIntoService(slave, slavePin);
    this.#update();
    return slave.base | slavePin;
  }

  /** Registers of one chip: offset 0 command, 1 data. */
  registers(index: 0 | 1): BusDevice {
    const chip = this.#chips[index];
    return {
      read: (offset: number, _size: AccessSize): number => {
        const value = readChip(chip, offset);
        this.#update();
        return value;
      },
      write: (offset: number, _size: AccessSize, value: number): void => {
        if (offset === 0) writeCommand(chip, value & 0xff);
        else writeData(chip, value & 0xff);
        this.#update();
      },
    };
  }

  /** Edge/level control, ports 0x4d0 and 0x4d1. */
  readonly elcr: BusDevice = {
    read: (offset) => this.#chips[offset === 0 ? 0 : 1].elcr,
    write: (offset, _size, value) => {
      const index = offset === 0 ? 0 : 1;
      this.#chips[index].elcr = value & ELCR_MASK[index];
      this.#update();
    },
  };

  save(): PicState {
    return { version: 1, chips: [{ ...this.#chips[0] }, { ...this.#chips[1] }] };
  }

  restore(state: PicState): void {
    Object.assign(this.#chips[0], state.chips[0]);
    Object.assign(this.#chips[1], state.chips[1]);
    this.#update();
  }

  /** Nothing was there when the CPU asked: the lowest-priority pin answers, and is not in service. */
  #spurious(chip: PicChipState): number {
    this.#update();
    return chip.base | 7;
  }

  #update(): void {
    const [master, slave] = this.#chips;
    // As long as the second chip asks, the first sees a request: no edge between two of them can be missed.
    if (candidate(slave) >= 0) master.irr |= 1 << CASCADE_PIN;
    else master.irr &= ~(1 << CASCADE_PIN);
    const output = candidate(master) >= 0;
    if (output === this.#output) return;
    this.#output = output;
    this.#onOutput(output);
  }
}

function resetChip(): PicChipState {
  return {
    irr: 0,
    imr: 0,
    isr: 0,
    lines: 0,
    elcr: 0,
    base: 0,
    expect: 0,
    needsIcw4: false,
    single: false,
    autoEoi: false,
    rotateOnAutoEoi: false,
    specialFullyNested: false,
    specialMask: false,
    readIsr: false,
    poll: false,
    top: 0,
  };
}

function setPin(chip: PicChipState, pin: number, level: boolean): void {
  const bit = 1 << pin;
  const was = (chip.lines & bit) !== 0;
  if (level) {
    chip.lines |= bit;
    if (!was || chip.elcr & bit) chip.irr |= bit;
  } else {
    chip.lines &= ~bit;
    // An edge that was seen stays pending; a level is pending only while it lasts.
    if (chip.elcr & bit) chip.irr &= ~bit;
  }
}

/** The pin that INT stands for, or -1. */
function candidate(chip: PicChipState): number {
  const pending = chip.irr & ~chip.imr;
  if (pending === 0) return -1;
  // In special mask mode a masked interrupt in service does not hold back the others.
  const blocking = chip.specialMask ? chip.isr & ~chip.imr : chip.isr;
  for (let i = 0; i < 8; i++) {
    const pin = (chip.top + i) & 7;
    const bit = 1 << pin;
    const nested = chip.specialFullyNested && pin === CASCADE_PIN && (pending & bit) !== 0;
    if (blocking & bit && !nested) return -1;
    if (pending & bit) return pin;
  }
  return -1;
}

function takeIntoService(chip: PicChipState, pin: number): void {
  const bit = 1 << pin;
  if (!(chip.elcr & bit)) chip.irr &= ~bit;
  if (!chip.autoEoi) chip.isr |= bit;
  else if (chip.rotateOnAutoEoi) chip.top = (pin + 1) & 7;
}

function readChip(chip: PicChipState, offset: number): number {
  if (chip.poll) {
    chip.poll = false;
    const pin = candidate(chip);
    if (pin < 0) return 0;
    takeIntoService(chip, pin);
    return 0x80 | pin;
  }
  if (offset !== 0) return chip.imr;
  return chip.readIsr ? chip.isr : chip.irr;
}

function writeCommand(chip: PicChipState, value: number): void {
  if (value & 0x10) startInitialization(chip, value);
  else if (value & 0x08) writeOcw3(chip, value);
  else writeOcw2(chip, value);
}

function startInitialization(chip: PicChipState, icw1: number): void {
  const { lines, elcr } = chip;
  Object.assign(chip, resetChip(), { lines, elcr });
  chip.irr = lines & elcr; // levels that last are seen again, edges before this are forgotten
  chip.single = (icw1 & 2) !== 0;
  chip.needsIcw4 = (icw1 & 1) !== 0;
  chip.expect = 2;
}

function writeOcw3(chip: PicChipState, value: number): void {
  if (value & 0x04) chip.poll = true;
  if (value & 0x02) chip.readIsr = (value & 1) !== 0;
  if (value & 0x40) chip.specialMask = (value & 0x20) !== 0;
}

function writeOcw2(chip: PicChipState, value: number): void {
  const rotate = (value & 0x80) !== 0;
  const specific = (value & 0x40) !== 0;
  const eoi = (value & 0x20) !== 0;
  const level = value & 7;
  if (eoi) endOfInterrupt(chip, specific ? level : highestInService(chip), rotate);
  else if (specific && rotate) chip.top = (level + 1) & 7;
  else if (!specific) chip.rotateOnAutoEoi = rotate;
}

function endOfInterrupt(chip: PicChipState, pin: number, rotate: boolean): void {
  if (pin < 0) return;
  chip.isr &= ~(1 << pin);
  if (rotate) chip.top = (pin + 1) & 7;
}

function highestInService(chip: PicChipState): number {
  for (let i = 0; i < 8; i++) {
    const pin = (chip.top + i) & 7;
    if (chip.isr & (1 << pin)) return pin;
  }
  return -1;
}

function writeData(chip: PicChipState, value: number): void {
  switch (chip.expect) {
    case 2:
      chip.base = value & 0xf8;
      chip.expect = chip.single ? (chip.needsIcw4 ? 4 : 0) : 3;
      return;
    case 3: // which pin the cascade uses is wiring, not ours to change
      chip.expect = chip.needsIcw4 ? 4 : 0;
      return;
    case 4:
      chip.autoEoi = (value & 2) !== 0;
      chip.specialFullyNested = (value & 0x10) !== 0;
      chip.expect = 0;
      return;
    default:
      chip.imr = value;
  }
}
