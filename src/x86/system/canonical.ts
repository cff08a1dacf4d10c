/** Whether bits 63:47 of an address differ. @spec SDM-1 §3.3.7.1 */
export function isNonCanonical(address: bigint): boolean {
  return BigInt.asUintN(64, BigInt.asIntN(48, address)) !== BigInt.asUintN(64, address);
}

/** The same for the high half alone: bits 63:47 lie there. */
export function isNonCanonicalHigh(high: number): boolean {
  return (high << 16) >> 16 !== (high | 0);
}
