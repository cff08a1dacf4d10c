import type { Connection } from './connection.ts';

/** Open connections by their two ports. */
export class ConnectionTable {
  readonly #byLocal = new Map<number, Map<number, Connection>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(guestPort: number, localPort: number): Connection | undefined {
    return this.#byLocal.get(localPort)?.get(guestPort);
  }

  add(connection: Connection): void {
    const { guestPort, localPort } = connection;
    let byGuest = this.#byLocal.get(localPort);
    if (byGuest === undefined) {
      byGuest = new Map();
      this.#byLocal.set(localPort, byGuest);
    }
    byGuest.set(guestPort, connection);
    this.#size += 1;
  }

  /** Forgets a connection, unless its ports belong to another one by now. */
  remove(connection: Connection): void {
    const { guestPort, localPort } = connection;
    const byGuest = this.#byLocal.get(localPort);
    if (byGuest === undefined || byGuest.get(guestPort) !== connection) return;
    byGuest.delete(guestPort);
    this.#size -= 1;
    if (byGuest.size === 0) this.#byLocal.delete(localPort);
  }

  /** Whether any connection uses this port on the host's side. */
  usesLocal(localPort: number): boolean {
    return this.#byLocal.has(localPort);
  }

  all(): Connection[] {
    return [...this.#byLocal.values()].flatMap((byGuest) => [...byGuest.values()]);
  }
}
