export type MachineErrorCode = 'ERR_DEVICE_COUNT' | 'ERR_MEMORY_SIZE' | 'ERR_VCPU_COUNT';

/** The description asks for a machine that cannot be built. */
export class MachineError extends Error {
  override readonly name = 'MachineError';
  readonly code: MachineErrorCode;

  constructor(code: MachineErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
