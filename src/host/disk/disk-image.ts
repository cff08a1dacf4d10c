import type { BlockBackend, Done, Lease } from '../../devices/virtio-blk/backend.ts';

export type { Done, Lease } from '../../devices/virtio-blk/backend.ts';

/** A disk's contents, whatever the format of its file: a disk of a machine, or what lies below another image. */
export interface DiskImage extends Pick<BlockBackend, 'length' | 'readOnly' | 'discardAlignment'> {
  read(offset: number, into: readonly Uint8Array[], lease: Lease): Done;
  /** The same before it returns; bytes behind the end are zeros. */
  readNow(offset: number, into: Uint8Array): void;
  write(offset: number, from: readonly Uint8Array[]): Done;
  flush(): Done;
  discard(offset: number, length: number): Done;
  writeZeroes(offset: number, length: number, unmap: boolean): Done;
  /** Makes everything durable that was finished, and closes the files once nothing is under way in them. */
  close(): void;
}

/** Which files an image consists of, so that a chain which loops is noticed. */
export interface FileIdentity {
  readonly dev: bigint;
  readonly ino: bigint;
  readonly rdev: bigint;
}
