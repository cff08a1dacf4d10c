import { ascii, u16, u32 } from '../bytes.ts';

/**
 * A few terms of ACPI's machine language, as arrays of bytes: enough to list devices. Names are four characters.
 *
 * @spec ACPI-6.5 §20.2
 */

/** Definitions inside an existing scope, such as `\_SB_`. */
export function scope(path: string, ...terms: readonly number[][]): number[] {
  return sized([0x10], [...ascii(path), ...terms.flat()]);
}

export function device(name: string, ...terms: readonly number[][]): number[] {
  return sized([0x5b, 0x82], [...ascii(name), ...terms.flat()]);
}

/** A named value: the encoded form of an integer, a string or a buffer. */
export function name(segment: string, value: readonly number[]): number[] {
  return [0x08, ...ascii(segment), ...value];
}

export function integer(value: number): number[] {
  if (value <= 1) return [value];
  if (value <= 0xff) return [0x0a, value];
  return value <= 0xffff ? [0x0b, ...u16(value)] : [0x0c, ...u32(value)];
}

export function string(text: string): number[] {
  return [0x0d, ...ascii(text), 0];
}

export function packageOf(...elements: readonly number[][]): number[] {
  return sized([0x12], [elements.length, ...elements.flat()]);
}

/** What a device occupies: the value of `_CRS`. @spec ACPI-6.5 §6.4 */
export function resources(...descriptors: readonly number[][]): number[] {
  const bytes = [...descriptors.flat(), 0x79, 0]; // end tag; no checksum
  return sized([0x11], [...integer(bytes.length), ...bytes]);
}

/** A fixed range of memory, readable and writable. @spec ACPI-6.5 §6.4.3.4 */
export function memory32(base: number, length: number): number[] {
  return [0x86, ...u16(9), 1, ...u32(base), ...u32(length)];
}

/** One interrupt: edge-triggered, active high, not shared. @spec ACPI-6.5 §6.4.3.6 */
export function interrupt(gsi: number): number[] {
  return [0x89, ...u16(6), 0x03, 1, ...u32(gsi)];
}

/** Ports, decoded in 16 bits. @spec ACPI-6.5 §6.4.2.5 */
export function ports(base: number, length: number): number[] {
  return [0x47, 1, ...u16(base), ...u16(base), 1, length];
}

/** Puts the length, which counts its own bytes, between an opcode and what it spans. @spec ACPI-6.5 §20.2.4 */
function sized(opcode: readonly number[], body: readonly number[]): number[] {
  if (body.length + 1 < 0x40) return [...opcode, body.length + 1, ...body];
  const further = body.length + 2 < 0x1000 ? 1 : 2;
  const length = body.length + 1 + further;
  const lead = (further << 6) | (length & 0xf);
  const rest = Array.from({ length: further }, (_, index) => (length >> (4 + 8 * index)) & 0xff);
  return [...opcode, lead, ...rest, ...body];
}
