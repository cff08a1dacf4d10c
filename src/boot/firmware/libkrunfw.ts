import { dynamicSymbols } from './elf.ts';
import { FirmwareError } from './firmware-error.ts';
import { kernelRelease } from './release.ts';

/** The guest kernel that a libkrunfw carries, flattened as it lies in guest memory. */
export interface Firmware {
  /** The kernel image, a view into the file's bytes. */
  readonly image: Uint8Array;
  /** Guest-physical address of the image's first byte; page-aligned. */
  readonly loadAddress: number;
  /** Guest-physical address of the 64-bit entry point, inside the image. */
  readonly entryAddress: number;
  /** Bytes of the image; a multiple of 4 KiB. */
  readonly size: number;
  /** What krunfw_get_version() returns; undefined when the library has no such function. */
  readonly abiVersion: number | undefined;
  /** Kernel release as `uname -r` prints it, such as "6.12.109"; empty when the image carries no banner. */
  readonly release: string;
}

const PAGE = 4096;
/** Functions of this library are a few dozen bytes; a hostile symbol may claim the whole file. */
const FUNCTION_BYTES_MAX = 1024;

/**
 * Reads a libkrunfw.so.5 for x86-64 without executing anything in it: the image is the object KERNEL_BUNDLE, the
 * three numbers are the immediates that krunfw_get_kernel stores through its three pointer arguments.
 *
 * @throws {FirmwareError} anything else than such a library
 */
export function parseFirmware(bytes: Uint8Array): Firmware {
  const symbols = dynamicSymbols(bytes, ['KERNEL_BUNDLE', 'krunfw_get_kernel', 'krunfw_get_version']);
  const bundle = symbols.get('KERNEL_BUNDLE');
  const getKernel = symbols.get('krunfw_get_kernel');
  if (bundle === undefined) throw new FirmwareError('no symbol KERNEL_BUNDLE');
  if (getKernel === undefined) throw new FirmwareError('no symbol krunfw_get_kernel');
  const [loadAddress, entryAddress, size] = kernelNumbers(getKernel.subarray(0, FUNCTION_BYTES_MAX));
  if (loadAddress === 0 || loadAddress % PAGE !== 0) throw new FirmwareError(`load address ${hex(loadAddress)}`);
  if (size === 0 || size % PAGE !== 0) throw new FirmwareError(`kernel size ${hex(size)}`);
  if (size > bundle.length) throw new FirmwareError(`kernel of ${size} bytes in a bundle of ${bundle.length}`);
  if (entryAddress < loadAddress || entryAddress >= loadAddress + size)
    throw new FirmwareError(`entry ${hex(entryAddress)} outside the kernel`);
  const image = bundle.subarray(0, size);
  return {
    image,
    loadAddress,
    entryAddress,
    size,
    abiVersion: returnedNumber(symbols.get('krunfw_get_version')?.subarray(0, FUNCTION_BYTES_MAX)),
    release: kernelRelease(image),
  };
}

/**
 * The stores `movq $imm32, (reg)`: 48 C7 /0 id, ModRM with mod 00 and a register that needs no SIB byte.
 * Unoptimised code loads each pointer into RAX, so the order of the stores is that of the arguments; optimised code
 * stores through RDI, RSI and RDX in any order. @spec SDM-2B "MOV"
 */
function kernelNumbers(code: Uint8Array): [load: number, entry: number, size: number] {
  const stores: { register: number; value: number }[] = [];
  for (let i = 0; i + 7 <= code.length; ) {
    const modrm = code[i + 2]!;
    if (code[i] !== 0x48 || code[i + 1] !== 0xc7 || modrm > 7 || modrm === 4 || modrm === 5) {
      i++;
      continue;
    }
    stores.push({ register: modrm, value: imm32(code, i + 3) });
    i += 7;
  }
  const [first, second, third] = stores;
  if (stores.length !== 3 || first === undefined || second === undefined || third === undefined)
    throw new FirmwareError(`krunfw_get_kernel with ${stores.length} constants instead of 3`);
  if (first.register === second.register) return [first.value, second.value, third.value];
  const through = (register: number): number => {
    const store = stores.find((candidate) => candidate.register === register);
    if (store === undefined) throw new FirmwareError('krunfw_get_kernel stores through unexpected registers');
    return store.value;
  };
  return [through(7), through(6), through(2)];
}

/** `mov $imm32, %eax`: B8 id. @spec SDM-2B "MOV" */
function returnedNumber(code: Uint8Array | undefined): number | undefined {
  const at = code?.indexOf(0xb8) ?? -1;
  return code !== undefined && at >= 0 && at + 5 <= code.length ? imm32(code, at + 1) : undefined;
}

/** The stores sign-extend; no address or size of a kernel has the top bit set. */
function imm32(code: Uint8Array, at: number): number {
  const value = (code[at]! | (code[at + 1]! << 8) | (code[at + 2]! << 16) | (code[at + 3]! << 24)) >>> 0;
  if (value >= 2 ** 31) throw new FirmwareError(`constant ${hex(value)}`);
  return value;
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
