import type { AccessSize } from '../bus/bus.ts';
import type { DeviceConfig } from './device.ts';

/** Little-endian bytes at `offset` as an unsigned number; bytes beyond the end are 0. */
export function readConfig(config: DeviceConfig, offset: number, size: AccessSize): number {
  const bytes = config.read();
  let value = 0;
  for (let at = size - 1; at >= 0; at--) value = value * 256 + (bytes[offset + at] ?? 0);
  return value;
}

/** Hands a write to the device when it lies inside its configuration space; otherwise it is dropped. */
export function writeConfig(config: DeviceConfig, offset: number, size: AccessSize, value: number): void {
  if (config.write !== undefined && offset + size <= config.read().length) config.write(offset, size, value);
}

/** Accepts both ways a device may describe its configuration space. */
export function asDeviceConfig(config: Uint8Array | DeviceConfig | undefined): DeviceConfig {
  if (config === undefined) return { read: () => NOTHING };
  return config instanceof Uint8Array ? { read: () => config } : config;
}

const NOTHING = new Uint8Array(0);
