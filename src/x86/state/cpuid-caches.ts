import type { CpuidResult } from './cpuid-result.ts';

interface Cache {
  /** 1 data, 2 instruction, 3 unified. */
  readonly type: number;
  readonly level: number;
  readonly ways: number;
  readonly bytes: number;
  readonly shared: boolean;
}

const KiB = 1024;
const LINE = 64;

/** Caches as programs see them. C libraries size their copy loops by these; there is nothing behind them. */
export const CACHES = {
  l1d: { type: 1, level: 1, ways: 8, bytes: 32 * KiB, shared: false },
  l1i: { type: 2, level: 1, ways: 8, bytes: 32 * KiB, shared: false },
  l2: { type: 3, level: 2, ways: 16, bytes: 1024 * KiB, shared: false },
  l3: { type: 3, level: 3, ways: 16, bytes: 16 * 1024 * KiB, shared: true },
} as const satisfies Record<string, Cache>;

const ORDER: readonly Cache[] = [CACHES.l1d, CACHES.l1i, CACHES.l2, CACHES.l3];

/** Deterministic cache parameters. @spec SDM-2A "CPUID" leaf 04H */
export function cacheLeaf(subleaf: number, vcpus: number): CpuidResult {
  const cache = ORDER[subleaf];
  if (cache === undefined) return [0, 0, 0, 0];
  const sharing = cache.shared ? 2 ** (32 - Math.clz32(vcpus - 1)) : 1;
  const cores = 2 ** (32 - Math.clz32(vcpus - 1));
  const eax = cache.type | (cache.level << 5) | (1 << 8) | ((sharing - 1) << 14) | ((cores - 1) << 26);
  const sets = cache.bytes / (cache.ways * LINE);
  return [eax, (LINE - 1) | ((cache.ways - 1) << 22), sets - 1, 0];
}
