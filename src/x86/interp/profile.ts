/** Why control left compiled code, in the order of their counters at S.counters. */
export const LEAVES = [
  'entered',
  'branch to another page',
  'branch to other code of the page',
  'call of another page',
  'call of other code of the page',
  'return',
  'computed call',
  'computed jump',
  'instruction that is not compiled',
  'memory access that misses or faults',
  'budget',
  'other address space',
] as const;
export type Leave = (typeof LEAVES)[number];

/** Where a guest spent its time. */
export interface ProfiledPlace {
  readonly rip: bigint;
  readonly user: boolean;
  readonly compiled: boolean;
  milliseconds: number;
}

/** What a profiled CPU did, as plain data. */
export interface ProfileReport {
  readonly milliseconds: { readonly interpreted: number; readonly compiled: number };
  /** How often the generated code came back to TypeScript, by cause. */
  readonly exits: Readonly<Record<string, number>>;
  /** How often control left compiled code, by cause. */
  readonly leaves: Readonly<Record<string, number>>;
  /** Instructions that TypeScript executed. */
  readonly system: Readonly<Record<string, number>>;
  readonly places: readonly ProfiledPlace[];
}

/**
 * Collects samples: whoever runs the CPU says after each slice how long it took, and the slice is put to the account of the
 * instruction at which it ended.
 */
export class CpuProfile {
  readonly #places = new Map<string, ProfiledPlace>();
  readonly #system = new Map<string, number>();
  readonly #exits = new Map<string, number>();
  #interpreted = 0;
  #compiled = 0;

  slice(rip: bigint, user: boolean, compiled: boolean, milliseconds: number): void {
    if (compiled) this.#compiled += milliseconds;
    else this.#interpreted += milliseconds;
    const key = `${rip} ${user} ${compiled}`;
    const place = this.#places.get(key);
    if (place === undefined) this.#places.set(key, { rip, user, compiled, milliseconds });
    else place.milliseconds += milliseconds;
  }

  exit(cause: string): void {
    this.#exits.set(cause, (this.#exits.get(cause) ?? 0) + 1);
  }

  instruction(name: string): void {
    this.#system.set(name, (this.#system.get(name) ?? 0) + 1);
  }

  /** @param counters of LEAVES */
  report(counters: ArrayLike<number>): ProfileReport {
    const places = [...this.#places.values()].sort((a, b) => b.milliseconds - a.milliseconds);
    return {
      milliseconds: { interpreted: this.#interpreted, compiled: this.#compiled },
      exits: sorted(this.#exits),
      leaves: sorted(LEAVES.map((name, i) => [name, counters[i]! >>> 0])),
      system: sorted(this.#system),
      places,
    };
  }
}

function sorted(counts: Iterable<readonly [string, number]>): Record<string, number> {
  return Object.fromEntries([...counts].filter(([, count]) => count > 0).sort((a, b) => b[1] - a[1]));
}
