/** Where random bytes come from. */
export interface ByteSource {
  /** Overwrites all of `into`, which is guest memory: valid during the call only. */
  fill(into: Uint8Array): void;
}
