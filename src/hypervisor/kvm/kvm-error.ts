/** The host kernel refused a KVM ioctl, or a call that goes with one. */
export class KvmIoctlError extends Error {
  override readonly name = 'KvmIoctlError';
  readonly code = 'ERR_KVM_IOCTL';
  readonly ioctl: string;
  readonly errno: number;

  constructor(ioctl: string, errno: number, options?: ErrorOptions) {
    super(`Cannot run ${ioctl}: host returned errno ${errno}`, options);
    this.ioctl = ioctl;
    this.errno = errno;
  }
}

/** The answer of a call, unless it is `-errno`. @throws {KvmIoctlError} it is */
export function checked(name: string, result: number): number {
  if (result < 0) throw new KvmIoctlError(name, -result);
  return result;
}
