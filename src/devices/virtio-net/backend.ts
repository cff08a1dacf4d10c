/** What a network backend tells its device. */
export interface NetEvents {
  /** There is a frame where there was none. */
  onReadable(): void;
  /** There is room where there was none. */
  onWritable(): void;
  /** `isUp` changed. */
  onLinkChange(): void;
}

/**
 * The host's end of a network interface: frames in and frames out. Nothing in it grows because of the guest or of the
 * peer: what is not taken stays where it came from.
 */
export interface NetBackend {
  /** Six bytes. */
  readonly mac: Uint8Array;
  /** Offloads that it can do: bits of VIRTIO-1.2 §5.1.3. */
  readonly features: bigint;
  /** Whether frames carry a struct virtio_net_hdr of 12 bytes in front, in both directions. */
  readonly hasHeaders: boolean;
  /** Whether checksums of what arrives need no check. */
  readonly isTrusted: boolean;
  /** Whether there is a peer. Without one frames vanish. */
  readonly isUp: boolean;
  /** Who is told, and which offloads the driver agreed to; undefined: nobody listens, and frames may be dropped. */
  attach(events: NetEvents | undefined, features: bigint): void;
  /** The frame that waits longest, header first if it has one; valid until the next call of any method. */
  peek(): Uint8Array | undefined;
  /** Lets go of the frame that `peek` gave. */
  drop(): void;
  /** Room for one frame, to be filled and committed at once; undefined: none now, `onWritable` follows. */
  reserve(length: number): Uint8Array | undefined;
  /** Sends what was reserved, now or with others at `flush`. */
  commit(): void;
  /** No more frames follow for now. */
  flush(): void;
}
