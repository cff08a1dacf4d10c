import { KiB } from '../../base/units.ts';
import type { DiskFile } from './disk-file.ts';
import type { DiskImage, Done, Lease } from './disk-image.ts';
import { writeZerosBy } from './in-pieces.ts';

const SECTOR = 512;

/** A file or block device whose bytes are the disk's. */
export class RawImage implements DiskImage {
  readonly length: number;
  readonly readOnly: boolean;
  readonly discardAlignment = 4 * KiB;
  readonly #file: DiskFile;
  #closed = false;

  /** @param lastSector whether a last sector that is not whole is left out, or filled up with zeros */
  constructor(file: DiskFile, lastSector: 'drop' | 'fill') {
    this.#file = file;
    this.readOnly = file.readOnly;
    this.length = (lastSector === 'drop' ? Math.floor : Math.ceil)(file.length / SECTOR) * SECTOR;
  }

  read(offset: number, into: readonly Uint8Array[], lease: Lease): Done {
    return this.#file.read(offset, into, lease);
  }

  readNow(offset: number, into: Uint8Array): void {
    this.#file.readNow(offset, into);
  }

  write(offset: number, from: readonly Uint8Array[]): Done {
    return this.#file.write(offset, from);
  }

  flush(): Done {
    return this.#file.sync();
  }

  /** A hint: a host that cannot give room back keeps it. */
  discard(offset: number, length: number): Done {
    if (length > 0) this.#file.punchHole(offset, length);
    return undefined;
  }

  writeZeroes(offset: number, length: number, unmap: boolean): Done {
    if (length === 0) return undefined;
    if (unmap && this.#file.punchHole(offset, length)) return undefined;
    if (this.#file.zeroRange(offset, length)) return undefined;
    return writeZerosBy(
      (at, from) => this.#file.write(at, from),
      offset,
      length,
      () => this.#closed,
    );
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      this.#file.syncNow();
    } finally {
      this.#file.close();
    }
  }
}
