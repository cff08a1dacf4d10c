/**
 * What the guest writes to one stream: iterate it, take it as a Web stream, or as text. One consumer at a time.
 *
 * The guest is held back when nobody reads, as with a pipe. Leaving an iteration early, or cancelling the Web stream,
 * discards what follows instead.
 */
export class OutputStream implements AsyncIterable<Uint8Array> {
  readonly #chunks: Uint8Array[] = [];
  readonly #consumed: (bytes: number) => void;
  #ended = false;
  #discarding = false;
  #wake: (() => void) | undefined;

  /** @param consumed told how many bytes left the queue, so that the guest may send more */
  constructor(consumed: (bytes: number) => void) {
    this.#consumed = consumed;
  }

  /** Everything that is still to come, as it comes. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for (let chunk = await this.#next(); chunk !== undefined; chunk = await this.#next()) yield chunk;
    } finally {
      this.discard();
    }
  }

  /** The same as a Web stream; cancelling it discards what follows. */
  get readable(): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        const chunk = await this.#next();
        if (chunk === undefined) controller.close();
        else controller.enqueue(chunk);
      },
      cancel: () => this.discard(),
    });
  }

  /** All that is still to come, decoded as UTF-8. */
  async text(): Promise<string> {
    const decoder = new TextDecoder();
    let text = '';
    for await (const chunk of this) text += decoder.decode(chunk, { stream: true });
    return text + decoder.decode();
  }

  /** Throws away what is queued and what follows; the guest never waits for a reader again. */
  discard(): void {
    this.#discarding = true;
    for (const chunk of this.#chunks.splice(0)) this.#consumed(chunk.length);
    this.#wake?.();
  }

  /** For the owner of the stream: bytes arrived. */
  push(chunk: Uint8Array): void {
    if (this.#discarding) return this.#consumed(chunk.length);
    this.#chunks.push(chunk);
    this.#wake?.();
  }

  /** For the owner of the stream: nothing follows. */
  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  async #next(): Promise<Uint8Array | undefined> {
    while (true) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) {
        this.#consumed(chunk.length);
        return chunk;
      }
      if (this.#ended || this.#discarding) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
