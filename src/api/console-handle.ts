import { InputStream } from './input-stream.ts';
import type { ConsoleStream, ToVm } from './messages.ts';
import { OutputStream } from './output-stream.ts';

/** The user's side of one virtio console. */
export class ConsoleHandle {
  readonly stdin: InputStream;
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  /** Whether the console is the guest's terminal, which carries input and output together. */
  readonly isTerminal: boolean;
  readonly #index: number;
  readonly #post: (message: ToVm) => void;

  /** @internal */
  constructor(index: number, isTerminal: boolean, post: (message: ToVm) => void) {
    this.#index = index;
    this.#post = post;
    this.isTerminal = isTerminal;
    const output = (stream: ConsoleStream) =>
      new OutputStream((bytes) => post({ type: 'consumed', console: index, stream, bytes }));
    this.stdout = output('stdout');
    this.stderr = output('stderr');
    this.stdin = new InputStream({
      send: (chunk) => post({ type: 'stdin', console: index, chunk }),
      end: () => post({ type: 'stdin-end', console: index }),
    });
  }

  /** Tells the guest the size of its terminal. */
  resize({ columns, rows }: { readonly columns: number; readonly rows: number }): void {
    this.#post({ type: 'resize', console: this.#index, columns, rows });
  }

  /** Types the interrupt character (Ctrl-C) on the console. */
  interrupt(): void {
    this.#post({ type: 'interrupt', console: this.#index });
  }

  /** For the owner: nothing follows in either direction. */
  end(): void {
    this.stdout.end();
    this.stderr.end();
    this.stdin.close();
  }
}
