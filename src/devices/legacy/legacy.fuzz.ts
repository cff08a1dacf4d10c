import type { AccessSize, BusDevice } from '../../bus/bus.ts';
import { Random } from '../../testing/random.ts';
import { Cmos } from './cmos.ts';
import { I8042 } from './i8042.ts';
import { Uart } from './uart.ts';

const SIZES: readonly AccessSize[] = [1, 1, 1, 2, 4];

export interface LegacyFuzzReport {
  readonly resets: number;
  readonly sent: number;
  readonly interrupts: number;
}

/** A hostile guest reads and writes every legacy register; nothing throws and every read fits its size. */
export function run(seed: number, iterations: number): LegacyFuzzReport {
  const random = new Random(seed);
  const report = { resets: 0, sent: 0, interrupts: 0 };
  const irq = { pulse: () => void report.interrupts++, set: () => void report.interrupts++ };
  const uart = new Uart(irq, { write: () => !random.oneIn(4) && ++report.sent > 0 });
  const clock = { nowNs: () => 0, wallMs: () => random.u32() * 1000 };
  const devices: { readonly device: BusDevice; readonly length: number }[] = [
    { device: new Cmos({ clock, memory: { lowBytes: 2 ** 31, highBytes: 2 ** 40 } }), length: 8 },
    { device: new I8042({ irq, onReset: () => void report.resets++ }), length: 5 },
    { device: uart, length: 8 },
  ];
  for (let i = 0; i < iterations; i++) {
    const { device, length } = random.pick(devices);
    const offset = random.below(length);
    const size = random.pick(SIZES);
    const values = 2 ** (8 * size);
    if (random.oneIn(2)) device.write(offset, size, random.below(values));
    else check(device.read(offset, size), values);
    if (random.oneIn(20)) uart.receive(random.bytes(random.below(100)));
    if (random.oneIn(4)) uart.resume();
  }
  return report;
}

function check(value: number, values: number): void {
  if (!(Number.isInteger(value) && value >= 0 && value < values))
    throw new RangeError(`Cannot give the guest ${value}`);
}
