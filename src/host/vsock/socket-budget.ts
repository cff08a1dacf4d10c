/** How many sockets of the host a guest may hold at once: descriptors are shared with everything else in this process. */
export class SocketBudget {
  readonly #max: number;
  #used = 0;

  constructor(max: number) {
    this.#max = max;
  }

  get isSpent(): boolean {
    return this.#used >= this.#max;
  }

  /** Counts a socket until it closes. */
  hold(socket: { once(event: 'close', listener: () => void): unknown }): void {
    this.#used += 1;
    socket.once('close', () => {
      this.#used -= 1;
    });
  }
}
