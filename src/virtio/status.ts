import { ACKNOWLEDGE, DEVICE_NEEDS_RESET, DRIVER, DRIVER_OK, FAILED, FEATURES_OK } from './protocol.ts';

/** What a write to Status asks for. */
export type StatusRequest = 'reset' | 'fail' | 'acknowledge' | 'driver' | 'features-ok' | 'driver-ok' | 'ignore';

/**
 * The one order in which a driver brings a device up: in state `from`, setting the bit `adds` is `request`.
 * A step at a time, as the driver requirements prescribe; every other write leaves the status as it is.
 *
 * @spec VIRTIO-1.2 §3.1.1
 */
export const STATUS_TRANSITIONS: readonly { from: number; adds: number; request: StatusRequest }[] = [
  { from: 0, adds: ACKNOWLEDGE, request: 'acknowledge' },
  { from: ACKNOWLEDGE, adds: DRIVER, request: 'driver' },
  { from: ACKNOWLEDGE | DRIVER, adds: FEATURES_OK, request: 'features-ok' },
  { from: ACKNOWLEDGE | DRIVER | FEATURES_OK, adds: DRIVER_OK, request: 'driver-ok' },
];

/**
 * Classifies a write. DEVICE_NEEDS_RESET is the device's own bit: drivers write back what they read, so it is no
 * request. After FAILED only a reset leads on.
 */
export function classifyStatusWrite(current: number, written: number): StatusRequest {
  if (written === 0) return 'reset';
  if ((written & FAILED) !== 0) return 'fail';
  if ((current & FAILED) !== 0) return 'ignore';
  const steps = current & ~DEVICE_NEEDS_RESET;
  const wanted = written & ~DEVICE_NEEDS_RESET;
  for (const row of STATUS_TRANSITIONS) {
    if (row.from === steps && (row.from | row.adds) === wanted) return row.request;
  }
  return 'ignore';
}
