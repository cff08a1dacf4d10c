import type { Log } from '../../base/log.ts';
import type { NetBackend, NetEvents } from '../../devices/virtio-net/backend.ts';

/** Destination, source, type: less is no Ethernet frame. */
export const FRAME_MIN = 14;
/** The longest IPv4 packet behind an Ethernet header, and room for a VLAN tag. */
export const FRAME_MAX = 65550;

/** What all backends are made with. */
export interface LinkOptions {
  /** As the guest calls it, for log lines. */
  readonly name: string;
  readonly mac: Uint8Array;
  readonly features: bigint;
  readonly isTrusted: boolean;
  readonly log: Log;
}

/** A backend that can be closed. */
export interface OpenNet extends NetBackend {
  close(): void;
}

/** What all backends have: their name, and a link that goes down once, with one line that says why. */
export abstract class Link {
  readonly mac: Uint8Array;
  readonly features: bigint;
  readonly isTrusted: boolean;
  protected events: NetEvents | undefined;
  readonly #name: string;
  readonly #log: Log;
  #isUp = true;
  #isClosed = false;

  constructor({ name, mac, features, isTrusted, log }: LinkOptions) {
    this.#name = name;
    this.mac = mac;
    this.features = features;
    this.isTrusted = isTrusted;
    this.#log = log;
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  protected get isClosed(): boolean {
    return this.#isClosed;
  }

  /** The peer is gone, or cannot be understood. The guest keeps running without this interface. */
  protected lost(reason: string): void {
    if (!this.#isUp) return;
    this.#isUp = false;
    if (this.#isClosed) return;
    this.#log('error', `Cannot reach the network of ${this.#name}: ${reason}; its link is down (ERR_NET_LINK_DOWN)`);
    this.events?.onLinkChange();
  }

  /** What becomes of it from now on is nobody's concern. */
  protected closing(): void {
    this.#isClosed = true;
    this.events = undefined;
  }
}
