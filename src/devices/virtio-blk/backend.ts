/** Nothing when the work is done; otherwise a promise. What could not be done throws or rejects. */
export type Done = undefined | Promise<void>;

/** Whether the guest's buffers still belong to a request: a reset of the device takes them back. */
export interface Lease {
  readonly alive: boolean;
}

/**
 * The host's side of a disk. Offsets and lengths are bytes, multiples of 512, inside the disk: the device checks them.
 * Several calls may be under way at once and may finish in any order.
 */
export interface BlockBackend {
  /** A multiple of 512. */
  readonly length: number;
  readonly readOnly: boolean;
  /** Whether a write is durable only after `flush`; false when nobody asked for durability. */
  readonly volatileCache: boolean;
  /** What the guest reads as the disk's serial: at most 20 bytes. */
  readonly id: Uint8Array;
  /** Discards of whole multiples of so many bytes free room; a multiple of 512. */
  readonly discardAlignment: number;
  /** Fills the buffers. After it returned they are touched only while the lease is alive. */
  read(offset: number, into: readonly Uint8Array[], lease: Lease): Done;
  /** The bytes are taken before it returns. */
  write(offset: number, from: readonly Uint8Array[]): Done;
  /** Every write that was finished before the call is durable when this is done. */
  flush(): Done;
  /** The contents do not matter any more. */
  discard(offset: number, length: number): Done;
  /** @param unmap whether the room may be given back */
  writeZeroes(offset: number, length: number, unmap: boolean): Done;
}
