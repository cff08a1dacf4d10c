import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MicroVm } from 'krun';
import { syntheticFirmware } from '../../dist/testing/synthetic-firmware.js';

/** Where the guest finds itself. The boot's identity map covers the first GiB. */
export const AT = {
  load: 0x100_0000,
  entry: 0x100_1000,
  idt: 0x102_0000,
  gdt: 0x102_1000,
  tss: 0x102_2000,
  pointers: 0x102_3000,
  stub: 0x102_3800,
  stack: 0x102_8000,
  /** Stack of handlers: interrupt stack 1. */
  handlerStack: 0x102_c000,
  /** Free for the program. */
  scratch: 0x103_0000,
  end: 0x104_0000,
} as const;
/** Page tables that the loader made. */
export const BOOT_PDPT = 0xa000;
/** As the loader has it: data follows. */
export const CODE_SELECTOR = 8;

/** A program of 64-bit code in the making: bytes with a position, and the few encodings that the tests share. */
export class Assembly {
  readonly bytes: number[] = [];
  readonly #base: number;

  constructor(base: number = AT.entry) {
    this.#base = base;
  }

  /** Address of the next byte. */
  get here(): number {
    return this.#base + this.bytes.length;
  }

  raw(...bytes: readonly number[]): this {
    this.bytes.push(...bytes);
    return this;
  }

  /** MOV r64, imm64. @param register 0-7 */
  set(register: number, value: number | bigint): this {
    return this.raw(0x48, 0xb8 + register, ...little(value, 8));
  }

  /** Stores RAX, or its low part, at an address. Uses RDI. */
  store(address: number | bigint, value: number | bigint, bytes: 1 | 2 | 4 | 8 = 8): this {
    const opcode = { 1: [0x88], 2: [0x66, 0x89], 4: [0x89], 8: [0x48, 0x89] }[bytes];
    return this.set(7, address)
      .set(0, value)
      .raw(...opcode, 0x07);
  }

  /** Loads into RAX, or its low part. Uses RDI. */
  load(address: number | bigint, bytes: 1 | 2 | 4 | 8 = 8): this {
    const opcode = { 1: [0x8a], 2: [0x66, 0x8b], 4: [0x8b], 8: [0x48, 0x8b] }[bytes];
    return this.set(7, address).raw(...opcode, 0x07);
  }

  /** OUT DX. */
  out(port: number, value: number, bytes: 1 | 2 | 4 = 1): this {
    const opcode = { 1: [0xee], 2: [0x66, 0xef], 4: [0xef] }[bytes];
    return this.raw(0x66, 0xba, ...little(port, 2), 0xb8, ...little(value, 4), ...opcode);
  }

  /** IN from DX. */
  in(port: number, bytes: 1 | 2 | 4 = 1): this {
    const opcode = { 1: [0xec], 2: [0x66, 0xed], 4: [0xed] }[bytes];
    return this.raw(0x66, 0xba, ...little(port, 2), ...opcode);
  }

  /** JMP to an address of this program. */
  jump(to: number): this {
    return this.raw(0xe9, ...little(to - (this.here + 5), 4));
  }

  /** MOV CR3, RAX. */
  cr3(value: number | bigint): this {
    return this.set(0, value).raw(0x0f, 0x22, 0xd8);
  }

  wrmsr(index: number, value: bigint): this {
    return this.raw(
      0xb9,
      ...little(index, 4),
      0xb8,
      ...little(value & 0xffff_ffffn, 4),
      0xba,
      ...little(value >> 32n, 4),
      0x0f,
      0x30,
    );
  }

  /** CLI; HLT: the end. */
  halt(): this {
    return this.raw(0xfa, 0xf4);
  }
}

export interface FlatOptions {
  /** Address of the handler of exceptions 0-31 but NMI; default: CLI and HLT. */
  readonly onException?: number;
  /** Address of the handler of NMI and interrupts; default: IRET. */
  readonly onInterrupt?: number;
  readonly write: (program: Assembly) => unknown;
}

/**
 * A kernel image: descriptor tables with all 256 vectors on a stack of their own, the last GiB below 4 GiB mapped onto
 * itself, and then the program.
 */
export function flatKernel(options: FlatOptions): { bytes: Uint8Array; loadAddress: number; entry: number } {
  const image = new Uint8Array(AT.end - AT.load);
  const put = (address: number, bytes: readonly number[]): void => image.set(bytes, address - AT.load);
  put(AT.stub, [0xfa, 0xf4, 0xeb, 0xfd]); // cli; hlt; and again after an NMI
  put(AT.stub + 16, [0x48, 0xcf]); // iretq
  for (let vector = 0; vector < 256; vector++) {
    const isException = vector < 32 && vector !== 2;
    const handler = isException ? (options.onException ?? AT.stub) : (options.onInterrupt ?? AT.stub + 16);
    put(AT.idt + vector * 16, gate(handler));
  }
  put(AT.gdt + CODE_SELECTOR, little(0x00af_9b00_0000_ffffn, 8));
  put(AT.gdt + 0x10, little(0x00cf_9300_0000_ffffn, 8));
  put(AT.gdt + 0x20, [...little(0x67, 2), ...little(AT.tss & 0xff_ffff, 3), 0x89, 0, AT.tss >>> 24, ...little(0, 8)]);
  put(AT.tss + 36, little(AT.handlerStack, 8));
  put(AT.pointers, [...little(0xfff, 2), ...little(AT.idt, 8)]);
  put(AT.pointers + 16, [...little(0x2f, 2), ...little(AT.gdt, 8)]);
  const program = new Assembly();
  program
    .store(BOOT_PDPT + 24, 0xc000_0083)
    .cr3(0x9000)
    .set(4, AT.stack);
  program.set(0, AT.pointers + 16).raw(0x0f, 0x01, 0x10); // lgdt [rax]
  program.set(0, AT.pointers).raw(0x0f, 0x01, 0x18); // lidt [rax]
  program.raw(0x66, 0xb8, 0x20, 0x00, 0x0f, 0x00, 0xd8); // mov ax, 0x20; ltr ax
  options.write(program);
  if (program.here > AT.idt)
    throw new RangeError(`Cannot assemble: ${program.bytes.length} bytes reach into the tables`);
  put(AT.entry, program.bytes);
  return { bytes: image, loadAddress: AT.load, entry: AT.entry };
}

/** The same as a file that a VM boots. */
export function flatFirmware(options: FlatOptions): Uint8Array {
  const { bytes, loadAddress, entry } = flatKernel(options);
  const file = syntheticFirmware({ load: loadAddress, entry, size: bytes.length });
  file.set(bytes.subarray(AT.entry - AT.load), 0x1000 + AT.entry - AT.load);
  return file;
}

/** A microVM that runs the program instead of Linux; its disposal removes the file as well. */
export async function startFlat(options: FlatOptions): Promise<{ vm: MicroVm } & AsyncDisposable> {
  const folder = mkdtempSync(join(tmpdir(), 'krun-hostile-'));
  const firmware = join(folder, 'libkrunfw.so.5');
  writeFileSync(firmware, flatFirmware(options));
  try {
    const shares = [{ tag: '/dev/root', path: null, init: false }];
    const vm = await MicroVm.start({ kernel: { firmware }, shares, memoryMiB: 64, command: ['/none'] });
    return { vm, [Symbol.asyncDispose]: () => vm[Symbol.asyncDispose]() };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A present 64-bit interrupt gate on interrupt stack 1. */
export function gate(handler: number): number[] {
  return [
    ...little(handler & 0xffff, 2),
    ...little(CODE_SELECTOR, 2),
    1,
    0x8e,
    ...little(handler >>> 16, 2),
    ...little(Math.floor(handler / 2 ** 32), 4),
    0,
    0,
    0,
    0,
  ];
}

export function little(value: number | bigint, bytes: number): number[] {
  const bits = BigInt.asUintN(bytes * 8, BigInt(value));
  return Array.from({ length: bytes }, (_, index) => Number((bits >> BigInt(index * 8)) & 0xffn));
}
