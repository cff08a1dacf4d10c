/** Guest time-stamp counter; a double is exact below 2**53, which is 34 days at 3 GHz and off by a tick beyond. */
export interface TscSource {
  /** Ticks per millisecond. */
  readonly kHz: number;
  /** What RDTSC would give now, the guest's own offset included. */
  now(): number;
}

export interface LapicTimerState {
  readonly initialCount: number;
  readonly divideConfig: number;
  readonly mode: number;
  readonly deadlineNs: number;
  readonly deadlineTsc: number;
}

export const TIMER_ONE_SHOT = 0;
export const TIMER_PERIODIC = 1;
export const TIMER_TSC_DEADLINE = 2;

/** Counter ticks per second; CPUID.15H:ECX, where a guest looks for it, must say the same. */
export const APIC_TIMER_HZ = 1e9;

/** A periodic timer of a few counts would leave the guest, and a core of the host, nothing but interrupts. */
const PERIOD_MIN_NS = 100_000;

/**
 * The counter of a local APIC. It knows no vector: `expire` says when the interrupt is due.
 * @spec SDM-3A §11.5.4
 * @quirk periods below 100 microseconds are stretched
 */
export class LapicTimer {
  readonly #nowNs: () => number;
  readonly #tsc: TscSource;
  #mode = TIMER_ONE_SHOT;
  #initialCount = 0;
  #divideConfig = 0;
  #deadlineNs = Number.POSITIVE_INFINITY;
  #deadlineTsc = 0;

  constructor(nowNs: () => number, tsc: TscSource) {
    this.#nowNs = nowNs;
    this.#tsc = tsc;
  }

  get divideConfig(): number {
    return this.#divideConfig;
  }

  get initialCount(): number {
    return this.#initialCount;
  }

  /** IA32_TSC_DEADLINE; 0 when disarmed. */
  get deadlineTsc(): number {
    return this.#deadlineTsc;
  }

  reset(): void {
    this.#mode = TIMER_ONE_SHOT;
    this.#initialCount = 0;
    this.#divideConfig = 0;
    this.#disarm();
  }

  /** @param mode the two bits of the LVT entry; changing into or out of TSC-deadline mode disarms */
  setMode(mode: number): void {
    if (mode === this.#mode) return;
    if (mode === TIMER_TSC_DEADLINE || this.#mode === TIMER_TSC_DEADLINE) {
      this.#initialCount = 0;
      this.#disarm();
    }
    this.#mode = mode;
  }

  setDivideConfig(value: number): void {
    const remaining = this.currentCount();
    this.#divideConfig = value & 0xb;
    if (this.#deadlineNs !== Number.POSITIVE_INFINITY) this.#deadlineNs = this.#nowNs() + this.#countNs(remaining);
  }

  setInitialCount(count: number): void {
    if (this.#mode === TIMER_TSC_DEADLINE) return;
    this.#initialCount = count;
    this.#deadlineNs = count === 0 ? Number.POSITIVE_INFINITY : this.#nowNs() + this.#countNs(count);
  }

  setDeadlineTsc(value: number): void {
    if (this.#mode === TIMER_TSC_DEADLINE) this.#deadlineTsc = value;
  }

  /** What is left to count, in ticks. */
  currentCount(): number {
    if (this.#deadlineNs === Number.POSITIVE_INFINITY) return 0;
    const left = Math.ceil((this.#deadlineNs - this.#nowNs()) / this.#countNs(1));
    return Math.min(Math.max(left, 0), this.#initialCount);
  }

  /** Infinity when nothing is armed; in the past when it is due: callers compare it with a time they took before. */
  nextDeadlineNs(): number {
    if (this.#deadlineTsc === 0) return this.#deadlineNs;
    const left = this.#deadlineTsc - this.#tsc.now();
    return this.#nowNs() + Math.ceil((left * 1e6) / this.#tsc.kHz);
  }

  /** Whether the timer ran out; arms the next period, dropping those that are past. */
  expire(nowNs: number): boolean {
    if (this.#deadlineTsc !== 0) {
      if (this.#tsc.now() < this.#deadlineTsc) return false;
      this.#deadlineTsc = 0;
      return true;
    }
    if (nowNs < this.#deadlineNs) return false;
    if (this.#mode === TIMER_PERIODIC) {
      const period = Math.max(this.#countNs(this.#initialCount), PERIOD_MIN_NS);
      this.#deadlineNs += (Math.floor((nowNs - this.#deadlineNs) / period) + 1) * period;
    } else {
      this.#deadlineNs = Number.POSITIVE_INFINITY;
    }
    return true;
  }

  /** Deadlines are relative to the clock, so that a restored timer fires after what was left. */
  save(): LapicTimerState {
    return {
      initialCount: this.#initialCount,
      divideConfig: this.#divideConfig,
      mode: this.#mode,
      deadlineNs: this.#deadlineNs === Number.POSITIVE_INFINITY ? -1 : Math.max(0, this.#deadlineNs - this.#nowNs()),
      deadlineTsc: this.#deadlineTsc,
    };
  }

  restore(state: LapicTimerState): void {
    this.#initialCount = state.initialCount;
    this.#divideConfig = state.divideConfig;
    this.#mode = state.mode;
    this.#deadlineNs = state.deadlineNs < 0 ? Number.POSITIVE_INFINITY : this.#nowNs() + state.deadlineNs;
    this.#deadlineTsc = state.deadlineTsc;
  }

  #disarm(): void {
    this.#deadlineNs = Number.POSITIVE_INFINITY;
    this.#deadlineTsc = 0;
  }

  #countNs(count: number): number {
    return (count * this.#divisor() * 1e9) / APIC_TIMER_HZ;
  }

  /** Bits 3, 1, 0: 000 divides by 2, each step doubles, 111 divides by 1. */
  #divisor(): number {
    const code = (this.#divideConfig & 3) | ((this.#divideConfig & 8) >> 1);
    return code === 7 ? 1 : 2 << code;
  }
}
