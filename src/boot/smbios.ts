import type { GuestMemory } from '../memory/guest-memory.ts';
import { BootError } from './boot-error.ts';
import { ascii, checksum, u16, u32, u64 } from './bytes.ts';
import { BOOT } from './layout.ts';

/** A structure names its strings by a byte, from 1 on. */
const STRINGS_MAX = 255;
/** The entry point's own bytes, padded. */
const TABLE_AT = BOOT.smbios + 32;

const NO_BIOS_CHARACTERISTICS = 1 << 3;
const VIRTUAL_MACHINE = 1 << 4;
const WAKE_UP_POWER_SWITCH = 6;

/**
 * Writes the tables by which a guest knows its make and finds strings of its owner, where kernels search below 1 MiB.
 *
 * @spec SMBIOS-3.7 §5.2.2, §7.1, §7.2, §7.12   @throws {BootError} ERR_OEM_STRINGS: too many, or too long together
 */
export function writeSmbios(memory: GuestMemory, oemStrings: readonly string[]): void {
  const table = smbiosTable(oemStrings);
  if (TABLE_AT + table.length > BOOT.resetVector) throw refusal(`they take ${table.length} bytes with their table`);
  memory.write(TABLE_AT, table);
  memory.write(BOOT.smbios, Uint8Array.from(entryPoint(table.length)));
}

/** The structures, one behind the other. @throws {BootError} ERR_OEM_STRINGS */
export function smbiosTable(oemStrings: readonly string[]): Uint8Array {
  if (oemStrings.length > STRINGS_MAX)
    throw refusal(`there are ${oemStrings.length}, and ${STRINGS_MAX} have a number`);
  const bios = structure(
    0,
    [1, 2, ...u16(0), 3, 0, ...u64(NO_BIOS_CHARACTERISTICS), 0, VIRTUAL_MACHINE, 0, 0, 0xff, 0xff],
    ['libkrun', '0', '01/05/2024'],
  );
  const uuid = new Array<number>(16).fill(0);
  const system = structure(
    1,
    [1, 2, 0, 0, ...uuid, WAKE_UP_POWER_SWITCH, 0, 0],
    ['Libkrun', 'libkrun Virtual Machine'],
  );
  const oem = oemStrings.length === 0 ? [] : structure(11, [oemStrings.length], oemStrings);
  const end = structure(127, [], []);
  const parts = [bios, system, oem, end];
  const table = new Uint8Array(parts.reduce((total, { length }) => total + length, 0));
  let at = 0;
  let handle = 0;
  for (const part of parts) {
    if (part.length === 0) continue;
    table.set(part, at);
    table.set(u16(handle++), at + 2);
    at += part.length;
  }
  return table;
}

/** Type, length, handle, fields; then the strings, each with a NUL, and one NUL more. */
function structure(type: number, fields: readonly number[], strings: readonly string[]): Uint8Array {
  const set = new TextEncoder().encode(strings.map((text) => `${text === '' ? ' ' : text}\0`).join(''));
  const bytes = new Uint8Array(4 + fields.length + Math.max(set.length, 1) + 1);
  bytes.set([type, 4 + fields.length, 0, 0, ...fields]);
  bytes.set(set, 4 + fields.length);
  return bytes;
}

function entryPoint(tableBytes: number): number[] {
  const bytes = [...ascii('_SM3_'), 0, 24, 3, 0, 0, 1, 0, ...u32(tableBytes), ...u64(TABLE_AT)];
  bytes[5] = checksum(bytes);
  return bytes;
}

function refusal(state: string): BootError {
  return new BootError('ERR_OEM_STRINGS', `Cannot make SMBIOS OEM strings: ${state}`);
}
