import { assert } from '../../base/assert.ts';
import type { Activation, RunningDevice } from '../../virtio/device.ts';
import type { Virtqueue } from '../../virtio/virtqueue.ts';
import type { ConsoleBackend, ConsolePort, ConsoleTurn } from './backend.ts';
import { ControlSender } from './control.ts';
import { type PortState, RunningPort } from './port.ts';
import {
  CONTROL,
  CONTROL_RECEIVEQ,
  CONTROL_TRANSMITQ,
  type ControlMessage,
  decodeControl,
  encodeResize,
  portOfQueue,
  receiveqOf,
  VIRTIO_CONSOLE_CONSOLE_PORT,
  VIRTIO_CONSOLE_DEVICE_ADD,
  VIRTIO_CONSOLE_DEVICE_READY,
  VIRTIO_CONSOLE_F_MULTIPORT,
  VIRTIO_CONSOLE_PORT_NAME,
  VIRTIO_CONSOLE_PORT_OPEN,
  VIRTIO_CONSOLE_PORT_READY,
  VIRTIO_CONSOLE_RESIZE,
} from './protocol.ts';

/** A console as plain data. */
interface ConsoleState {
  readonly version: 1;
  readonly ports: readonly PortState[];
  readonly pending: readonly ControlMessage[];
  /** The driver is ready, and it is not this console's turn. */
  readonly waiting?: boolean;
}

/** The running half of the console: control messages, and one RunningPort per port. @spec VIRTIO-1.2 §5.3.6 */
export class ConsoleDevice implements RunningDevice {
  readonly #descriptions: readonly ConsolePort[];
  readonly #ports: readonly RunningPort[];
  readonly #transmitControl: Virtqueue;
  readonly #control: ControlSender;
  readonly #multiport: boolean;
  readonly #configChanged: () => void;
  readonly #turn: ConsoleTurn | undefined;
  #waiting = false;
  #closed = false;

  constructor(activation: Activation, backend: ConsoleBackend) {
    const saved = activation.saved as ConsoleState | undefined;
    this.#descriptions = backend.ports;
    this.#turn = backend.turn;
    this.#multiport = (activation.features & VIRTIO_CONSOLE_F_MULTIPORT) !== 0n;
    this.#configChanged = activation.configChanged;
    this.#transmitControl = at(activation.queues, CONTROL_TRANSMITQ);
    const limit = 16 + 8 * backend.ports.length;
    this.#control = new ControlSender(at(activation.queues, CONTROL_RECEIVEQ), limit, saved?.pending ?? []);
    this.#ports = backend.ports.map((port, id) => this.#startPort(port, id, activation.queues));
    if (saved !== undefined) this.#continue(saved);
    else if (!this.#multiport) this.#openOnlyPort();
  }

  onNotify(queueIndex: number): void {
    const id = portOfQueue(queueIndex);
    if (id === undefined) this.#moveControl();
    else if (queueIndex === receiveqOf(id)) this.#ports[id]?.receive();
    else this.#ports[id]?.transmit();
  }

  close(): void {
    this.#closed = true;
    for (const port of this.#ports) port.close();
  }

  save(): ConsoleState {
    const ports = this.#ports.map((port) => port.save());
    return { version: 1, ports, pending: [...this.#control.pending], waiting: this.#waiting };
  }

  #startPort(port: ConsolePort, id: number, queues: readonly Virtqueue[]): RunningPort {
    port.terminal?.onResize(() => this.#resize(id));
    return new RunningPort({
      port,
      receiveq: at(queues, receiveqOf(id)),
      transmitq: at(queues, receiveqOf(id) + 1),
      onEnd: () => this.#endOfInput(id),
    });
  }

  #continue(saved: ConsoleState): void {
    this.#moveControl();
    saved.ports.forEach((state, id) => {
      this.#ports[id]?.restore(state);
      this.#resize(id); // the host's window may have another size now
    });
    for (const port of this.#ports) {
      port.receive();
      port.transmit();
    }
    this.#takeTurn();
    if (saved.waiting) this.#waitForTurn();
  }

  /** Without VIRTIO_CONSOLE_F_MULTIPORT there is port 0 and nobody announces it. */
  #openOnlyPort(): void {
    const [port] = this.#ports;
    if (port === undefined) return;
    port.guestOpen = true;
    port.receive();
    this.#turn?.done();
  }

  /** The driver's messages wait while too many of ours do: a driver that never reads must not grow our list. */
  #moveControl(): void {
    this.#control.flush();
    this.#transmitControl.batch(() => {
      for (let done = 0; done < this.#transmitControl.size && !this.#control.congested; done++) {
        const chain = this.#transmitControl.pop();
        if (chain === undefined) return;
        const message = decodeControl(chain.readable.bytes(CONTROL.size));
        chain.complete(0);
        if (message !== undefined) this.#handle(message);
      }
    });
  }

  /** Messages about ports that do not exist, and events that a driver does not send, are ignored. */
  #handle({ id, event, value }: ControlMessage): void {
    if (event === VIRTIO_CONSOLE_DEVICE_READY) {
      if (value === 1) this.#waitForTurn();
      return;
    }
    const port = this.#ports[id];
    if (port === undefined) return;
    if (event === VIRTIO_CONSOLE_PORT_READY && value === 1) this.#introduce(port, id);
    if (event !== VIRTIO_CONSOLE_PORT_OPEN) return;
    port.guestOpen = value === 1;
    port.receive();
    this.#takeTurn();
  }

  #waitForTurn(): void {
    if (this.#turn === undefined) return this.#announcePorts();
    this.#waiting = true;
    this.#turn.wait(() => {
      if (!this.#waiting || this.#closed) return;
      this.#waiting = false;
      this.#announcePorts();
    });
  }

  /** A driver that made a console of a port opens it: then the console has its number. */
  #takeTurn(): void {
    if (this.#ports.every((port, id) => port.guestOpen || !this.#descriptions[id]?.console)) this.#turn?.done();
  }

  #announcePorts(): void {
    for (const id of this.#ports.keys()) this.#send(id, VIRTIO_CONSOLE_DEVICE_ADD, 1);
  }

  /** Tells the driver what kind of port it took over; it is a console before it has a size. */
  #introduce(port: RunningPort, id: number): void {
    const description = this.#descriptions[id];
    port.ready = true;
    if (description?.console) this.#send(id, VIRTIO_CONSOLE_CONSOLE_PORT, 1);
    this.#send(id, VIRTIO_CONSOLE_PORT_OPEN, 1);
    this.#resize(id);
    const name = description?.name ?? '';
    if (name !== '') this.#send(id, VIRTIO_CONSOLE_PORT_NAME, 1, new TextEncoder().encode(name));
  }

  #resize(id: number): void {
    const size = this.#descriptions[id]?.terminal?.size();
    if (size === undefined) return;
    if (this.#ports[id]?.ready) this.#send(id, VIRTIO_CONSOLE_RESIZE, 0, encodeResize(size));
    if (id === 0 && !this.#multiport) this.#configChanged();
  }

  /**
   * The guest reads the end of the port; what it has in its buffers comes first.
   *
   * @quirk a plain port with an output stays open, because Linux lets nobody write to a port that the host has closed
   */
  #endOfInput(id: number): void {
    const port = this.#descriptions[id];
    if (port?.output !== undefined && !port.console) return;
    if (this.#multiport) this.#send(id, VIRTIO_CONSOLE_PORT_OPEN, 0);
  }

  #send(id: number, event: number, value: number, payload?: Uint8Array): void {
    this.#control.send(payload === undefined ? { id, event, value } : { id, event, value, payload });
  }
}

function at(queues: readonly Virtqueue[], index: number): Virtqueue {
  const queue = queues[index];
  assert(queue !== undefined, 'the console has a queue per direction of each port');
  return queue;
}
