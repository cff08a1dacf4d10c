import type { InputName, OutputName } from '../config/spec.ts';
import { InputStream } from './input-stream.ts';
import type { ToVm } from './messages.ts';
import { OutputStream } from './output-stream.ts';

/** Where a port's bytes travel. */
export interface PortPlace {
  readonly console: number;
  readonly port: number;
  readonly input: InputName;
  readonly output: OutputName;
}

/** The user's side of one port of a console, or of a serial port: a pair of streams. */
export class PortHandle {
  /** As the guest knows it; may be empty. */
  readonly name: string;
  /** What the guest reads. It reads the end only where the port has no output: a port has no half that could be closed. */
  readonly input: InputStream;
  /** What the guest wrote. */
  readonly output: OutputStream;
  /** Whether the guest takes the port for a terminal. */
  readonly isTerminal: boolean;
  readonly #place: PortPlace;
  readonly #post: (message: ToVm) => void;

  /** @internal */
  constructor(name: string, isTerminal: boolean, place: PortPlace, post: (message: ToVm) => void) {
    const { console, input, output } = place;
    this.name = name;
    this.isTerminal = isTerminal;
    this.#place = place;
    this.#post = post;
    this.input = new InputStream({
      send: (chunk) => post({ type: 'input', console, stream: input, chunk }),
      end: () => post({ type: 'input-end', console, stream: input }),
    });
    this.output = new OutputStream((bytes) => post({ type: 'consumed', console, stream: output, bytes }));
  }

  /** Tells the guest the size of its window. */
  resize({ columns, rows }: { readonly columns: number; readonly rows: number }): void {
    const { console, port } = this.#place;
    this.#post({ type: 'resize', console, port, columns, rows });
  }

  /** For the owner: nothing follows in either direction. @internal */
  end(): void {
    this.output.end();
    this.input.close();
  }
}
