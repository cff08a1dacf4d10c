import { KiB, MiB } from '../../base/units.ts';

/** Bytes of the pool, and the unit in which it is handed out. */
const POOL_BYTES = 8 * MiB;
const UNIT = 64 * KiB;
const WASM_PAGE = 64 * KiB;

/** A piece of the pool, in use until it is given back. */
export interface Bounce {
  readonly bytes: Uint8Array;
  readonly firstUnit: number;
  readonly units: number;
}

/**
 * Host memory for transfers that go on while the guest runs. A reset may take a guest's buffers back at any moment,
 * and no system call that is under way can be called off; so what is under way never sees guest memory.
 *
 * The pool is bounded, and it is page-aligned as O_DIRECT wants it: WebAssembly's memory always is.
 */
export class BouncePool {
  #memory: ArrayBufferLike | undefined;
  readonly #taken = new Uint8Array(POOL_BYTES / UNIT);

  /** Room for so many bytes; undefined when there is none now. */
  take(length: number): Bounce | undefined {
    const units = Math.ceil(length / UNIT);
    let run = 0;
    for (let unit = 0; unit < this.#taken.length; unit++) {
      run = this.#taken[unit] === 0 ? run + 1 : 0;
      if (run < units) continue;
      const firstUnit = unit + 1 - units;
      this.#taken.fill(1, firstUnit, unit + 1);
      return { bytes: new Uint8Array(this.#buffer(), firstUnit * UNIT, length), firstUnit, units };
    }
    return undefined;
  }

  giveBack({ firstUnit, units }: Bounce): void {
    this.#taken.fill(0, firstUnit, firstUnit + units);
  }

  #buffer(): ArrayBufferLike {
    this.#memory ??= new WebAssembly.Memory({
      initial: POOL_BYTES / WASM_PAGE,
      maximum: POOL_BYTES / WASM_PAGE,
    }).buffer;
    return this.#memory;
  }
}

/** Page-aligned memory that lives as long as somebody holds it. */
export function alignedBytes(length: number): Uint8Array {
  return new Uint8Array(pages(length), 0, length);
}

function pages(length: number): ArrayBuffer {
  const count = Math.ceil(length / WASM_PAGE);
  return new WebAssembly.Memory({ initial: count, maximum: count }).buffer as ArrayBuffer;
}
