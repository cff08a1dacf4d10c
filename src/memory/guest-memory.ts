import { assert } from '../base/assert.ts';

/** One contiguous piece of guest-physical memory. */
export interface MemoryRegion {
  /** Guest-physical start in bytes, a multiple of 4 KiB. */
  readonly gpa: number;
  /** Length in bytes, a multiple of 4 KiB. */
  readonly length: number;
  /** Where it starts in the backing buffer, in bytes. */
  readonly offset: number;
}

/** Called after host code wrote guest memory, so that an engine can drop code it derived from those bytes. */
export type WriteHook = (gpa: number, length: number) => void;

/**
 * Bounds-checked little-endian access to guest memory by guest-physical address.
 *
 * Every address may come from a hostile guest: callers ask `contains` first and answer the guest in the terms of
 * their protocol; an accessor that is called outside memory throws RangeError.
 * Nothing here allocates except `bytes`, which makes a view (never a copy).
 */
export class GuestMemory {
  readonly buffer: ArrayBufferLike;
  readonly regions: readonly MemoryRegion[];
  readonly #view: DataView;
  #hook: WriteHook = () => {};

  constructor(buffer: ArrayBufferLike, regions: readonly MemoryRegion[]) {
    for (const region of regions) assert(region.offset + region.length <= buffer.byteLength, 'region outside buffer');
    this.buffer = buffer;
    this.regions = regions;
    this.#view = new DataView(buffer as ArrayBuffer);
  }

  /** The engine that caches translated code sets this once. */
  setWriteHook(hook: WriteHook): void {
    this.#hook = hook;
  }

  /** Whether [gpa, gpa + length) lies in one region. Safe for any pair of numbers. */
  contains(gpa: number, length: number): boolean {
    return this.#offset(gpa, length) >= 0;
  }

  /** A view of guest bytes for reading. Writing through it needs `wrote` afterwards. */
  bytes(gpa: number, length: number): Uint8Array {
    return new Uint8Array(this.buffer as ArrayBuffer, this.#at(gpa, length), length);
  }

  /** Tells the engine that host code changed these bytes through a view. */
  wrote(gpa: number, length: number): void {
    this.#hook(gpa, length);
  }

  /** Copies bytes into guest memory. */
  write(gpa: number, data: Uint8Array): void {
    this.bytes(gpa, data.length).set(data);
    this.#hook(gpa, data.length);
  }

  readU8(gpa: number): number {
    return this.#view.getUint8(this.#at(gpa, 1));
  }

  readU16(gpa: number): number {
    return this.#view.getUint16(this.#at(gpa, 2), true);
  }

  readU32(gpa: number): number {
    return this.#view.getUint32(this.#at(gpa, 4), true);
  }

  readU64(gpa: number): bigint {
    return this.#view.getBigUint64(this.#at(gpa, 8), true);
  }

  writeU8(gpa: number, value: number): void {
    this.#view.setUint8(this.#at(gpa, 1), value);
    this.#hook(gpa, 1);
  }

  writeU16(gpa: number, value: number): void {
    this.#view.setUint16(this.#at(gpa, 2), value, true);
    this.#hook(gpa, 2);
  }

  writeU32(gpa: number, value: number): void {
    this.#view.setUint32(this.#at(gpa, 4), value, true);
    this.#hook(gpa, 4);
  }

  writeU64(gpa: number, value: bigint): void {
    this.#view.setBigUint64(this.#at(gpa, 8), value, true);
    this.#hook(gpa, 8);
  }

  #at(gpa: number, length: number): number {
    const offset = this.#offset(gpa, length);
    if (offset < 0)
      throw new RangeError(`Cannot access ${length} bytes at guest address 0x${gpa.toString(16)}: outside memory`);
    return offset;
  }

  #offset(gpa: number, length: number): number {
    for (const region of this.regions) {
      const from = gpa - region.gpa;
      if (from >= 0 && length >= 0 && from + length <= region.length) return region.offset + from;
    }
    return -1;
  }
}
