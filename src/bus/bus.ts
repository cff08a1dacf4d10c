/** A device behind ports or memory-mapped registers. Offsets are relative to where it is attached. */
export interface BusDevice {
  /** Returns `size` bytes, little-endian, as an unsigned number. */
  read(offset: number, size: AccessSize): number;
  /** `value` is unsigned and fits `size` bytes. */
  write(offset: number, size: AccessSize, value: number): void;
}

/** Bytes per access; 8-byte accesses reach a device as two of 4. */
export type AccessSize = 1 | 2 | 4;

/** An interrupt input of the machine, by global system interrupt number. */
export interface IrqLine {
  /** One edge: raises the line and lowers it again. */
  pulse(): void;
  /** Drives the line, for level-triggered sources. */
  set(level: boolean): void;
}

interface Attachment {
  readonly base: number;
  readonly length: number;
  readonly device: BusDevice;
}

/** An address space of devices: ports, or guest-physical addresses outside RAM. Nothing is allocated per access. */
export class Bus {
  readonly #attachments: Attachment[] = [];

  /** @throws {RangeError} when the range overlaps one that is attached */
  attach(base: number, length: number, device: BusDevice): void {
    for (const other of this.#attachments) {
      if (base < other.base + other.length && other.base < base + length) {
        throw new RangeError(`Cannot attach a device at 0x${base.toString(16)}: range is taken`);
      }
    }
    this.#attachments.push({ base, length, device });
  }

  /** Reads 1, 2, 4 bytes; addresses no device claims read as all ones. */
  read(address: number, size: AccessSize): number {
    const found = this.#find(address);
    if (found === undefined) return ONES[size];
    return found.device.read(address - found.base, size) >>> 0;
  }

  /** Writes to addresses no device claims are dropped. */
  write(address: number, size: AccessSize, value: number): void {
    const found = this.#find(address);
    if (found !== undefined) found.device.write(address - found.base, size, value);
  }

  #find(address: number): Attachment | undefined {
    for (const item of this.#attachments) {
      if (address >= item.base && address < item.base + item.length) return item;
    }
    return undefined;
  }
}

const ONES = { 1: 0xff, 2: 0xffff, 4: 0xffff_ffff } as const;
