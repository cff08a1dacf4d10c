import { alignUp, KiB, MiB } from '../base/units.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { BootError } from './boot-error.ts';
import { BOOT, FOUR_GIB } from './layout.ts';

/** What runs from the reset vector in place of a kernel: its last byte is the last one below 4 GiB. */
export interface FirmwareImage {
  readonly firmware: Uint8Array;
}

const PAGE_BYTES = 4096;
/** Above are only the local APIC's page and what firmware may be. */
const FIRMWARE_BYTES_MAX = 16 * MiB;
/** What firmware expects of itself below 1 MiB: a PC shows 128 KiB, and larger images copy the rest there. */
const SHADOW_BYTES = 256 * KiB;

/** Bytes of memory that end at 4 GiB. @throws {BootError} ERR_FIRMWARE_IMAGE */
export function firmwareBytes({ firmware }: FirmwareImage): number {
  if (firmware.length < 16) throw refusal(`${firmware.length} bytes do not hold a reset vector`);
  if (firmware.length > FIRMWARE_BYTES_MAX) throw refusal(`it has ${firmware.length} bytes, more than 16 MiB`);
  return alignUp(firmware.length, PAGE_BYTES);
}

/**
 * Puts the image below 4 GiB, where the reset vector is, and its end below 1 MiB, where 16-bit code expects itself.
 * Both places are RAM, as if shadowed: writes stay.
 */
export function loadFirmware(memory: GuestMemory, { firmware }: FirmwareImage): void {
  memory.write(FOUR_GIB - firmware.length, firmware);
  const shadow = firmware.subarray(Math.max(0, firmware.length - SHADOW_BYTES));
  memory.write(BOOT.highMemory - shadow.length, shadow);
}

function refusal(state: string): BootError {
  return new BootError('ERR_FIRMWARE_IMAGE', `Cannot use firmware image: ${state}`);
}
