/** The bytes are not a libkrunfw for x86-64; the message says what was found instead. */
export class FirmwareError extends Error {
  override readonly name = 'FirmwareError';
  readonly code = 'ERR_FIRMWARE_FORMAT';

  constructor(found: string) {
    super(`Cannot read libkrunfw: ${found}`);
  }
}
