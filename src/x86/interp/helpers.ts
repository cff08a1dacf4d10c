import { AES_HELPERS } from '../isa/aes.ts';
import { SHA_HELPERS } from '../isa/sha.ts';
import { runExact } from '../isa/sse-float-exact.ts';
import { runCompareStrings } from '../isa/string-compare.ts';
import { S } from '../state/layout.ts';
import type { CpuState } from '../state/state.ts';

/** TypeScript helpers of semantics: they work on S.temp and other state, and cannot fault. */
const HELPERS: Readonly<Record<string, (cpu: { readonly state: CpuState }) => void>> = {
  divideUnsigned: ({ state }) => {
    const n = (state.get64(S.temp + 8) << 64n) | state.get64(S.temp);
    const d = state.get64(S.temp + 16);
    finish(state, n / d, n % d, (n / d) >> 64n !== 0n);
  },
  divideSigned: ({ state }) => {
    const n = BigInt.asIntN(128, (state.get64(S.temp + 8) << 64n) | state.get64(S.temp));
    const d = BigInt.asIntN(64, state.get64(S.temp + 16));
    const quotient = n / d;
    finish(state, quotient, n % d, BigInt.asIntN(64, quotient) !== quotient);
  },
  sseFloat: ({ state }) => runExact(state),
  compareStrings: ({ state }) => runCompareStrings(state),
  ...Object.fromEntries(Object.entries({ ...AES_HELPERS, ...SHA_HELPERS }).map(([name, run]) => [name, ({ state }) => run(state)])),
};

export const HELPER_NAMES: readonly string[] = Object.keys(HELPERS);
const LIST = Object.values(HELPERS);

export function runHelper(cpu: { readonly state: CpuState }, id: number): void {
  LIST[id]!(cpu);
}

/** Quotient, remainder and whether the quotient is too large. */
function finish(state: CpuState, quotient: bigint, remainder: bigint, overflow: boolean): void {
  state.set64(S.temp, BigInt.asUintN(64, quotient));
  state.set64(S.temp + 8, BigInt.asUintN(64, remainder));
  state.set64(S.temp + 16, overflow ? 1n : 0n);
}
