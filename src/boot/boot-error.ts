export type BootErrorCode =
  | 'ERR_KERNEL_IMAGE'
  | 'ERR_FIRMWARE_IMAGE'
  | 'ERR_MEMORY_SIZE'
  | 'ERR_COMMAND_LINE'
  | 'ERR_OEM_STRINGS';

/** The machine that was asked for cannot be started by this kernel. */
export class BootError extends Error {
  override readonly name = 'BootError';
  readonly code: BootErrorCode;

  constructor(code: BootErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
