import { deviceHarness } from '../../testing/device-harness.ts';
import { readable, writable } from '../../testing/fake-driver.ts';
import { type HostileGuestReport, hostileGuest } from '../../testing/hostile-guest.ts';
import { Random } from '../../testing/random.ts';
import type { ConsoleBackend, PortInput, PortOutput } from './backend.ts';
import { virtioConsole } from './index.ts';
import { CONTROL_TRANSMITQ, encodeControl, VIRTIO_CONSOLE_PORT_OPEN, VIRTIO_CONSOLE_PORT_READY } from './protocol.ts';

/** A sink that takes a random part of what it is offered, and a list of everything it took. */
class MoodyOutput implements PortOutput {
  readonly taken: number[] = [];
  callback: (() => void) | undefined;
  readonly #random: Random;
  readonly #loseBytes: boolean;

  constructor(random: Random, loseBytes = false) {
    this.#random = random;
    this.#loseBytes = loseBytes;
  }

  write(bytes: Uint8Array): number {
    const count = this.#random.oneIn(2) ? bytes.length : this.#random.below(bytes.length + 1);
    this.taken.push(...bytes.subarray(0, this.#loseBytes && this.#random.oneIn(50) ? count - 1 : count));
    return count;
  }

  onWritable(callback: (() => void) | undefined): void {
    this.callback = callback;
  }
}

/** A source of consecutive bytes that is often empty. */
class MoodyInput implements PortInput {
  given = 0;
  callback: (() => void) | undefined;
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  read(into: Uint8Array): number | undefined {
    const count = this.#random.below(into.length + 1);
    for (let at = 0; at < count; at++) into[at] = this.given++ & 0xff;
    return count;
  }

  onReadable(callback: (() => void) | undefined): void {
    this.callback = callback;
  }
}

/** Every byte arrives once and in order, whatever sink and source do and however often the machine is saved. */
export function runStreams(seed: number, iterations: number, { loseBytes = false } = {}): number {
  const random = new Random(seed);
  const output = new MoodyOutput(random, loseBytes);
  const input = new MoodyInput(random);
  const backend: ConsoleBackend = { ports: [{ name: 'p', console: false, input, output }] };
  let rig = deviceHarness(virtioConsole, backend);
  for (const event of [VIRTIO_CONSOLE_PORT_READY, VIRTIO_CONSOLE_PORT_OPEN]) {
    rig.driver.add(CONTROL_TRANSMITQ, [readable(encodeControl({ id: 0, event, value: 1 }))]);
    rig.notify(CONTROL_TRANSMITQ);
  }
  let sent = 0;
  let received = 0;
  for (let step = 0; step < iterations; step++) {
    if (rig.driver.freeDescriptors(1) >= 2) {
      const pieces = [0, 0].map(() => readable(Uint8Array.from({ length: random.below(40) }, () => sent++ & 0xff)));
      rig.driver.add(1, pieces);
      rig.notify(1);
    }
    if (rig.driver.freeDescriptors(0) >= 1) rig.driver.add(0, [writable(1 + random.below(40))]);
    if (random.oneIn(2)) rig.notify(0);
    if (random.oneIn(2)) output.callback?.();
    if (random.oneIn(2)) input.callback?.();
    if (random.oneIn(20)) {
      const next = deviceHarness(virtioConsole, backend, { memory: rig.memory, start: false });
      const state = structuredClone(rig.transport.save());
      rig.transport.reset();
      next.transport.restore(state);
      next.driver.adopt(rig.driver);
      rig = next;
    }
    rig.used(1);
    for (const { id, len } of rig.used(0)) {
      for (const byte of rig.driver.written(0, id).subarray(0, len)) {
        if (byte !== (received++ & 0xff)) throw new RangeError(`Cannot continue: input byte ${received - 1} is wrong`);
      }
    }
    const wrong = output.taken.findIndex((byte, at) => byte !== (at & 0xff));
    if (wrong >= 0) throw new RangeError(`Cannot continue: output byte ${wrong} is wrong`);
    if (output.taken.length > 8192) output.taken.splice(0, 4096);
  }
  return received + sent;
}

/** A hostile guest that knows the control protocol. */
export function run(seed: number, iterations: number): HostileGuestReport {
  const random = new Random(seed);
  const ports = [0, 1, 2].map((id) => ({
    name: `port-${id}`,
    console: id === 0,
    terminal: { size: () => ({ cols: random.below(300), rows: random.below(100) }), onResize: () => {} },
    input: new MoodyInput(random),
    output: new MoodyOutput(random),
  }));
  return hostileGuest({
    device: virtioConsole,
    backend: { ports },
    random,
    iterations,
    message: () =>
      encodeControl({
        id: random.oneIn(8) ? random.u32() : random.below(4),
        event: random.below(9),
        value: random.below(3),
      }),
    afterStep: (_, transport) => {
      const saved = transport.save().active?.device as { pending: unknown[] } | undefined;
      if ((saved?.pending.length ?? 0) > 100) throw new RangeError('Cannot continue: control messages pile up');
      const { input, output } = random.pick(ports);
      output.taken.length = 0;
      input.callback?.();
      output.callback?.();
    },
  });
}
