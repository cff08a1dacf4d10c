/** Where a socket of the host is, or is to be. */
export type SocketAddress =
  | { readonly family: 'ipv4' | 'ipv6'; readonly address: string; readonly port: number }
  | { readonly family: 'unix'; readonly path: string };

/** An Internet address. */
export type InetAddress = Extract<SocketAddress, { address: string }>;

/** What a host stream tells its user. Nothing is called before the call that made or attached it has returned. */
export interface StreamEvents {
  /** A connection that was asked for is there. Streams that exist already do not call it. */
  onConnected(): void;
  /** Bytes arrived; they belong to the receiver now. */
  onData(chunk: Uint8Array): void;
  /** The other side sends no more. */
  onEnd(): void;
  /** So many bytes of what was written left this process. */
  onWritten(count: number): void;
  /** The stream is over, and nothing follows. A Linux error number; 0 when all went well. */
  onClosed(errno: number): void;
}

/** A byte stream on the host: a TCP connection, a unix socket, or something in the user's program. */
export interface HostStream {
  /** The other side's name; undefined when it has none, or not yet. */
  readonly remote: SocketAddress | undefined;
  /** Sets who is told; events for an earlier listener end. A stream gives no data until `resume`. */
  attach(events: StreamEvents): void;
  /** The guest took the connection that this stream asked for. */
  accepted?(): void;
  /** Takes bytes and keeps them. The caller counts `onWritten` to know how many wait. */
  write(bytes: Uint8Array): void;
  /** Sends end of stream after what was written. */
  end(): void;
  pause(): void;
  resume(): void;
  /** Nobody listens any more: what was written is delivered, then the stream closes. No event follows. */
  release(): void;
  /** Ends it at once, as a reset where there is such a thing. No event follows. */
  destroy(): void;
}

/** The answer of an operation that cannot even begin: a positive Linux error number. */
export type Errno = number;

/** Opens streams that the guest asks for. */
export interface StreamConnector {
  /** The stream reports `onConnected`, or `onClosed` with the reason. */
  connect(address: SocketAddress, events: StreamEvents): HostStream | Errno;
}

export interface ListenerEvents {
  /** It listens: errno 0; or it never will. */
  onListening(errno: number): void;
  /** Somebody connected. */
  onStream(stream: HostStream): void;
}

export interface Listener {
  close(): void;
}

/** Opens the listening sockets that the guest asks for, where the user allows it. */
export interface Listeners {
  listen(address: SocketAddress, backlog: number, events: ListenerEvents): Listener | Errno;
}

export interface DatagramEvents {
  /** A datagram arrived; the bytes belong to the receiver now. */
  onMessage(bytes: Uint8Array): void;
  /** The answer to `connect`: 0 or a Linux error number. */
  onConnected(errno: number): void;
}

/** A datagram socket. What cannot be sent is lost, as datagrams are. */
export interface DatagramSocket {
  connect(address: SocketAddress): void;
  /** To `address`, or to the connected peer without one. The bytes belong to the socket now. */
  send(bytes: Uint8Array, address?: SocketAddress): void;
  close(): void;
}

export interface DatagramSockets {
  open(family: 'ipv4' | 'ipv6', events: DatagramEvents): DatagramSocket | Errno;
}

/** How the host reaches the guest's own vsock ports while the device runs. */
export interface GuestPorts {
  /** Connects a stream of the host to a listening port of the guest. The stream is closed when nobody listens. */
  open(port: number, stream: HostStream): void;
}

/** Services of the host under vsock ports. */
export interface PortServices {
  /** The guest connects to a port; undefined: there is nothing. */
  connect(port: number, events: StreamEvents): HostStream | undefined;
  /** The device runs (or does not any more): where connections into the guest go. */
  attach(guest: GuestPorts | undefined): void;
}

/** Transparent sockets: what the guest's own sockets become. @spec LIBKRUN-TSI */
export interface TsiBackend {
  /** Which families the guest's kernel hands to us. */
  readonly inet: boolean;
  readonly unix: boolean;
  readonly streams: StreamConnector;
  readonly listeners: Listeners;
  readonly datagrams: DatagramSockets;
}

export interface VsockBackend {
  /** The guest's address. */
  readonly guestCid: number;
  readonly ports: PortServices;
  /** Absent: plain vsock only. */
  readonly tsi?: TsiBackend;
}
