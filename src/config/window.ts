import { checkInteger } from './checks.ts';
import type { WindowSpec } from './spec.ts';

const SIZE_MAX = 0xffff;

/** The size of a window; absent: the usual one. */
export function resolveSize(size: Partial<WindowSpec> | undefined, what: string): WindowSpec {
  return {
    columns: checkInteger(`${what}.columns`, size?.columns ?? 80, 0, SIZE_MAX),
    rows: checkInteger(`${what}.rows`, size?.rows ?? 24, 0, SIZE_MAX),
  };
}
