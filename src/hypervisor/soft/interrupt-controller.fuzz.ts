import type { AccessSize } from '../../bus/bus.ts';
import { Random } from '../../testing/random.ts';
import { InterruptController, withInterruptController } from './interrupt-controller.ts';
import { readLapicMsr, writeLapicMsr } from './lapic-access.ts';

const PORTS = [0x20, 0x21, 0xa0, 0xa1, 0x40, 0x41, 0x42, 0x43, 0x61, 0x4d0, 0x4d1];
const SIZES: readonly AccessSize[] = [1, 2, 4];
const MSRS = [0x1b, 0x6e0];
const PAGES = [0xfec0_0000, 0xfee0_0000];
/** What guests really write there, beside arbitrary numbers. */
const VALUES = [
  0x11, 0x13, 0x01ff, 0x34, 0xb0, 0x20, 0x0c, 0x1_0000, 0x8040, 0x2_0040, 0x4_0040, 0xfee0_0900, 0xfee0_0d00,
];

export interface InterruptFuzzReport {
  readonly acknowledged: number;
  readonly ticks: number;
}

/**
 * A hostile guest writes to every interrupt register while time passes. Nothing may throw, every read is a number of
 * its size, every vector is a byte, time that is asked for is never NaN, and what was saved can be restored.
 */
export function run(seed: number, iterations: number): InterruptFuzzReport {
  const random = new Random(seed);
  const time = { ns: 0 };
  const clock = { nowNs: () => time.ns, wallMs: () => 0 };
  const tsc = [0, 1].map(() => ({ kHz: 1e6, now: () => time.ns }));
  let controller = new InterruptController({ clock, tsc });
  const all = { portRead: () => 0, portWrite() {}, mmioRead: () => 0, mmioWrite() {} };
  const makeViews = () => [0, 1].map((cpu) => withInterruptController(controller, cpu, all));
  let views = makeViews();
  const report = { acknowledged: 0, ticks: 0 };
  const value = (): number => (random.oneIn(2) ? random.pick(VALUES) : random.u32() >>> random.below(32));

  for (let i = 0; i < iterations; i++) {
    const cpu = random.below(2);
    const io = random.pick(views);
    const size = random.pick(SIZES);
    const fits = size === 4 ? 0xffff_ffff : 2 ** (8 * size) - 1;
    const gpa = random.pick(PAGES) + random.below(random.oneIn(4) ? 4096 : 0x400);
    switch (random.below(12)) {
      case 0:
      case 1:
      case 2:
        io.portWrite(random.pick(PORTS), size, value() % (fits + 1));
        break;
      case 3:
        check(io.portRead(random.pick(PORTS), size), fits);
        break;
      case 4:
      case 5:
        io.mmioWrite(random.oneIn(8) ? gpa : gpa - (gpa % 16), size, value() % (fits + 1));
        break;
      case 6:
        check(io.mmioRead(gpa, size), fits);
        break;
      case 7:
        writeLapicMsr(controller.lapic(cpu), msr(random), value(), random.oneIn(4) ? value() : 0);
        break;
      case 8: {
        const into = { low: 0, high: 0 };
        if (readLapicMsr(controller.lapic(cpu), msr(random), into)) {
          check(into.low, 0xffff_ffff);
          check(into.high, 0xffff_ffff);
        }
        break;
      }
      case 9:
        controller.irqLine(random.below(24)).set(random.oneIn(2));
        break;
      case 10:
        if (controller.hasInterrupt(cpu)) {
          check(controller.acknowledge(cpu), 0xff);
          report.acknowledged++;
        }
        break;
      default: {
        const next = controller.nextDeadlineNs();
        if (Number.isNaN(next)) throw new RangeError('Cannot wait: deadline is NaN');
        time.ns = Math.min(Math.max(time.ns + random.below(50_000), random.oneIn(8) ? next : 0), time.ns + 1e9);
        controller.tick(time.ns);
        report.ticks++;
      }
    }
    if (random.oneIn(1000)) {
      const state = structuredClone(controller.save());
      controller = new InterruptController({ clock, tsc });
      controller.restore(state);
      views = makeViews();
    }
  }
  return report;
}

function msr(random: Random): number {
  return random.oneIn(3) ? random.pick(MSRS) : 0x800 + random.below(0x40);
}

function check(value: number, max: number): void {
  if (!(Number.isInteger(value) && value >= 0 && value <= max)) throw new RangeError(`Cannot give the guest ${value}`);
}
