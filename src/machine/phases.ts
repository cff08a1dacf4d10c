/** Moments of a machine's life, in their usual order. */
export const PHASES = [
  'created',
  'kernel loaded',
  'first instruction',
  'virtio-fs INIT',
  'first user output',
  'ended',
] as const;

export type Phase = (typeof PHASES)[number];

/** When each phase was first reached. */
export class PhaseClock {
  readonly #nowNs: () => number;
  readonly #marks = new Map<Phase, number>();

  constructor(nowNs: () => number) {
    this.#nowNs = nowNs;
  }

  /** Cheap when the phase is known already. */
  mark(phase: Phase): void {
    if (!this.#marks.has(phase)) this.#marks.set(phase, this.#nowNs());
  }

  /** Milliseconds since `created`, or undefined when the phase was not reached. */
  sinceCreatedMs(phase: Phase): number | undefined {
    const from = this.#marks.get('created');
    const at = this.#marks.get(phase);
    return from === undefined || at === undefined ? undefined : (at - from) / 1e6;
  }

  /** One line for each phase that was reached. */
  lines(): string[] {
    return PHASES.filter((phase) => this.#marks.has(phase)).map(
      (phase) => `${phase}: ${(this.sinceCreatedMs(phase) ?? 0).toFixed(1)} ms`,
    );
  }
}
