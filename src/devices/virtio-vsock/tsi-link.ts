import type { HostStream } from './backend.ts';
import type { Connection } from './connection.ts';

/** What transparent sockets ask of the device. */
export interface TsiLink {
  reply(fromPort: number, toPort: number, payload: Uint8Array): void;
  datagram(fromPort: number, toPort: number, payload: Uint8Array): void;
  find(guestPort: number, localPort: number): Connection | undefined;
  openToGuest(
    guestPort: number,
    stream: HostStream,
    hooks: { readonly onOpen?: () => void; readonly onGone?: () => void },
  ): boolean;
}
