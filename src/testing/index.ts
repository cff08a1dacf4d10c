// What one needs to test a device of one's own without a guest.
export { deviceHarness, type Harness, type HarnessOptions, plainMemory } from './device-harness.ts';
export { EchoProbe, echoDevice } from './echo-device.ts';
export {
  ALL_FEATURES,
  FakeDriver,
  type Piece,
  type RawDescriptor,
  readable,
  type UsedElement,
  writable,
} from './fake-driver.ts';
export { FakeIrq } from './fake-irq.ts';
export {
  type HostileGuestOptions,
  type HostileGuestReport,
  hostileGuest,
  hostileGuestMemory,
} from './hostile-guest.ts';
export { Random } from './random.ts';
