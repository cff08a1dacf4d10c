import { assert } from '../base/assert.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';

/** One piece of a buffer in guest memory; checked to lie in memory. */
export interface Segment {
  readonly gpa: number;
  readonly length: number;
}

/** Whether the buffers may still be touched: a reset takes them back from the device. */
export interface Lifetime {
  readonly alive: boolean;
}

/**
 * A position in a list of segments. Segments of a hostile chain may overlap each other and add up to far more than
 * guest memory, so every method that walks them takes a maximum.
 */
abstract class Cursor {
  protected readonly memory: GuestMemory;
  protected readonly life: Lifetime;
  readonly #segments: readonly Segment[];
  #index = 0;
  #offset = 0;
  #remaining: number;
  /** Bytes in all segments together. */
  readonly length: number;

  constructor(memory: GuestMemory, life: Lifetime, segments: readonly Segment[]) {
    this.memory = memory;
    this.life = life;
    this.#segments = segments;
    let length = 0;
    for (const segment of segments) length += segment.length;
    this.length = length;
    this.#remaining = length;
  }

  /** Bytes between the position and the end. */
  get remaining(): number {
    return this.#remaining;
  }

  /**
   * The next bytes, at most `max`, as views straight into guest memory; the position stays.
   * After a reset there are none.
   */
  views(max: number): Uint8Array[] {
    const views: Uint8Array[] = [];
    if (!this.life.alive) return views;
    this.#walk(max, (gpa, length) => views.push(this.memory.bytes(gpa, length)), false);
    return views;
  }

  /** Moves the position; returns by how much, less than asked only at the end. */
  protected advance(count: number, visit: (gpa: number, length: number) => void): number {
    return this.#walk(count, visit, true);
  }

  /** The next `count` bytes as segments of their own; the position moves behind them. */
  protected cut(count: number): Segment[] {
    const segments: Segment[] = [];
    this.advance(count, (gpa, length) => segments.push({ gpa, length }));
    return segments;
  }

  #walk(count: number, visit: (gpa: number, length: number) => void, move: boolean): number {
    let left = Math.min(count, this.#remaining);
    const walked = left;
    let index = this.#index;
    let offset = this.#offset;
    while (left > 0) {
      const segment = this.#segments[index];
      assert(segment !== undefined, 'segments are shorter than their sum');
      const length = Math.min(left, segment.length - offset);
      if (length > 0) visit(segment.gpa + offset, length);
      left -= length;
      offset += length;
      if (offset === segment.length) {
        index += 1;
        offset = 0;
      }
    }
    if (move) {
      this.#index = index;
      this.#offset = offset;
      this.#remaining -= walked;
    }
    return walked;
  }
}

/** The device-readable part of a chain: what the driver sent. */
export class ReadableBuffers extends Cursor {
  /** Moves the position without looking; returns by how much. */
  skip(count: number): number {
    return this.advance(count, () => {});
  }

  /** Copies the next bytes into `into`; returns how many there were. A copy cannot change between check and use. */
  read(into: Uint8Array): number {
    if (!this.life.alive) return 0;
    let at = 0;
    return this.advance(into.length, (gpa, length) => {
      into.set(this.memory.bytes(gpa, length), at);
      at += length;
    });
  }

  /** A copy of the next bytes, at most `max`. */
  bytes(max: number): Uint8Array<ArrayBuffer> {
    const copy = new Uint8Array(Math.min(max, this.remaining));
    return copy.subarray(0, this.read(copy));
  }

  /** The next bytes as buffers of their own, at most `max`; the position moves behind them. */
  take(max: number): ReadableBuffers {
    return new ReadableBuffers(this.memory, this.life, this.cut(max));
  }
}

/** The device-writable part of a chain: room for the answer. */
export class WritableBuffers extends Cursor {
  /** Copies bytes to the position; returns how many had room. */
  write(data: Uint8Array): number {
    if (!this.life.alive) return 0;
    let at = 0;
    return this.advance(data.length, (gpa, length) => {
      this.memory.write(gpa, data.subarray(at, at + length));
      at += length;
    });
  }

  /** Says that the next `count` bytes were written through `views`; the position moves behind them. */
  wrote(count: number): number {
    return this.advance(count, (gpa, length) => this.memory.wrote(gpa, length));
  }

  /** Lets `source` write the next bytes, at most `max`, in place; returns how many. */
  fill(source: { fill(into: Uint8Array): unknown }, max: number): number {
    let filled = 0;
    for (const view of this.views(max)) {
      source.fill(view);
      filled += view.length;
    }
    return this.wrote(filled);
  }

  /** Room for the next bytes as buffers of their own, at most `max`: for a header that is known after its payload. */
  take(max: number): WritableBuffers {
    return new WritableBuffers(this.memory, this.life, this.cut(max));
  }

  /** The pieces of guest memory that remain, with addresses; the position moves to the end. */
  takeSegments(): readonly Segment[] {
    return this.cut(this.remaining);
  }
}
