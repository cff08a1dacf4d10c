/** Where a port's bytes towards the guest come from. The console pulls: it reads only what the guest has room for. */
export interface PortInput {
  /**
   * Moves bytes into `into`, which is guest memory: valid during the call only.
   *
   * @returns how many; 0 when there are none at present; undefined at the end of the input
   */
  read(into: Uint8Array): number | undefined;
  /** Sets who is told, any time later, that `read` has something new to say; undefined: nobody. */
  onReadable(callback: (() => void) | undefined): void;
}

/** Where a port's bytes from the guest go. */
export interface PortOutput {
  /**
   * Takes bytes from guest memory: valid during the call only, so what is kept is copied.
   * An output that broke takes everything and drops it; a guest cannot do anything about it.
   *
   * @returns how many from the start were taken; fewer than given: the rest is offered again after `onWritable` fired
   */
  write(bytes: Uint8Array): number;
  /** Sets who is told, any time later, that `write` takes more again; undefined: nobody. */
  onWritable(callback: (() => void) | undefined): void;
}

export interface TerminalSize {
  readonly cols: number;
  readonly rows: number;
}

/** A port's window on the host. */
export interface Terminal {
  size(): TerminalSize;
  /** Sets who is told that `size` changed; undefined: nobody. */
  onResize(callback: (() => void) | undefined): void;
}

export interface ConsolePort {
  /** What the guest finds in /sys/class/virtio-ports; empty: none is sent. */
  readonly name: string;
  /** Whether the guest makes a console (hvc) of it instead of a plain character device. */
  readonly console: boolean;
  readonly terminal?: Terminal;
  /** Absent: the guest never receives anything. */
  readonly input?: PortInput;
  /** Absent: what the guest writes is dropped. */
  readonly output?: PortOutput;
}

/** The ports of one console device, at least one; port 0 is the one that kernels without multiport support use. */
export interface ConsoleBackend {
  readonly ports: readonly ConsolePort[];
  /** Absent: the ports are announced as soon as the driver is ready. */
  readonly turn?: ConsoleTurn;
}

/** A device's place among the consoles of a machine. */
export interface ConsoleTurn {
  /** Calls back once, when all consoles before are through: at once when they are. */
  wait(callback: () => void): void;
  /** The guest has taken over all consoles of this device. */
  done(): void;
}
