import type { SerialSpec } from '../config/spec.ts';
import type { SerialBackend } from '../devices/legacy/backend.ts';
import type { PortOutput } from '../devices/virtio-console/backend.ts';
import type { ConsoleLink, OpenStreams } from './console-backend.ts';
import { InputChannel, LogFile, OutputChannel } from './port-channels.ts';

/** Bytes that are sent one by one and go on together. */
const BATCH_BYTES = 1024;
/** No more than a UART's FIFO is taken from the user ahead of the guest. */
const AHEAD_BYTES = 64;

/** What takes bytes of the line: the machine's UART. */
export interface SerialReceiver {
  receive(bytes: Uint8Array): number;
  /** The backend takes bytes again. */
  resume(): void;
}

/** An open serial port: what the UART gets, and the streams behind it: `stdin` and `stdout`. */
export interface OpenSerial extends OpenStreams {
  readonly backend: SerialBackend;
  /** Names the UART that input goes to. */
  join(uart: SerialReceiver): void;
}

/** Makes a serial port's ends and opens its log file. */
export function openSerial(spec: SerialSpec, link: ConsoleLink): OpenSerial {
  const file = spec.logFile === undefined ? undefined : new LogFile(spec.logFile);
  const input = new InputChannel((bytes) => link.inputTaken('stdin', bytes));
  const channel = spec.output ? new OutputChannel(link.window, (chunk) => link.output('stdout', chunk)) : undefined;
  const line: PortOutput = channel ?? { write: (bytes) => bytes.length, onWritable: () => {} };
  const sender = new Sender(file?.tee(line) ?? line);
  let uart: SerialReceiver | undefined;
  let ahead = new Uint8Array(0);

  const pump = (): void => {
    while (uart !== undefined) {
      ahead = ahead.subarray(uart.receive(ahead));
      if (ahead.length > 0) return;
      const next = new Uint8Array(AHEAD_BYTES);
      ahead = next.subarray(0, input.read(next) ?? 0);
      if (ahead.length === 0) return;
    }
  };
  if (spec.input) input.onReadable(pump);
  line.onWritable(() => {
    if (sender.flush()) uart?.resume();
  });

  return {
    backend: { write: (byte) => sender.write(byte), onRoom: pump },
    join: (receiver) => {
      uart = receiver;
      pump();
    },
    input: (_stream, chunk) => input.push(chunk),
    inputEnd: () => input.end(),
    interrupt: () => input.interrupt(),
    askForEnd: () => false,
    resize: () => {},
    consumed: (_stream, bytes) => channel?.consumed(bytes),
    drain: () => {
      sender.flush();
      channel?.drain();
    },
    close: () => file?.close(),
  };
}

/** Collects the bytes of one turn of the event loop, so that a line of text is one message and not eighty. */
class Sender {
  readonly #output: PortOutput;
  readonly #batch = new Uint8Array(BATCH_BYTES);
  #length = 0;
  #scheduled = false;

  constructor(output: PortOutput) {
    this.#output = output;
  }

  /** @returns false when there is no room, and the byte was not taken */
  write(byte: number): boolean {
    if (this.#length === BATCH_BYTES && !this.flush()) return false;
    this.#batch[this.#length++] = byte;
    if (!this.#scheduled) {
      this.#scheduled = true;
      setImmediate(() => {
        this.#scheduled = false;
        this.flush();
      });
    }
    return true;
  }

  /** @returns whether there is room now */
  flush(): boolean {
    const taken = this.#output.write(this.#batch.subarray(0, this.#length));
    this.#batch.copyWithin(0, taken, this.#length);
    this.#length -= taken;
    return this.#length < BATCH_BYTES;
  }
}
