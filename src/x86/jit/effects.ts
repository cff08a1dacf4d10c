import type { Value } from '../ir/emitter.ts';
import type { Access } from './address-groups.ts';

/** How a block's last instruction goes on. */
export type Terminator =
  | { readonly kind: 'branch'; readonly condition: Value }
  | { readonly kind: 'jump' }
  | { readonly kind: 'indirect'; readonly target: Value; readonly how: 'jump' | 'call' | 'return' };

/** What one instruction reads and changes, found by lowering it once. */
export interface Effects {
  flagsRead: number;
  /** Flags that it certainly sets. */
  flagsWritten: number;
  /** It sets flags on some paths only. */
  flagsMaybe: boolean;
  /** It may leave for the interpreter before it has done anything (a fault, a slow access). */
  bails: boolean;
  /** It may stop and go on later from its own start, as another instruction would after it (REP). */
  repeats: boolean;
  /** Sets of general and of XMM registers, as bits. */
  gprUsed: number;
  gprWritten: number;
  xmmUsed: number;
  xmmWritten: number;
  terminator: Terminator | undefined;
  /** What it accesses at addresses that are sums. */
  accesses: Access[];
}

export function noEffects(): Effects {
  return {
    flagsRead: 0,
    flagsWritten: 0,
    flagsMaybe: false,
    bails: false,
    repeats: false,
    gprUsed: 0,
    gprWritten: 0,
    xmmUsed: 0,
    xmmWritten: 0,
    terminator: undefined,
    accesses: [],
  };
}
