import type { IrqLine } from '../bus/bus.ts';

/** An interrupt line that counts. */
export class FakeIrq implements IrqLine {
  /** Edges since creation. */
  pulses = 0;
  level = false;

  pulse(): void {
    this.pulses += 1;
  }

  set(level: boolean): void {
    if (level && !this.level) this.pulses += 1;
    this.level = level;
  }

  /** Edges since the last call. */
  take(): number {
    const { pulses } = this;
    this.pulses = 0;
    return pulses;
  }
}
