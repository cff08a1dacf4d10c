/** Time as the machine sees it; injected so that tests and replays decide what it says. */
export interface Clock {
  /** Monotonic nanoseconds since an arbitrary start; a double, exact to well under a microsecond. */
  nowNs(): number;
  /** Wall-clock milliseconds since the Unix epoch. */
  wallMs(): number;
}
