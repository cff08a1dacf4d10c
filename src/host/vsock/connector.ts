import { connect } from 'node:net';
import type {
  Errno,
  HostStream,
  SocketAddress,
  StreamConnector,
  StreamEvents,
} from '../../devices/virtio-vsock/backend.ts';
import { LINUX_ERRNO, linuxErrno } from './linux-errno.ts';
import { NodeStream } from './node-stream.ts';
import type { SocketBudget } from './socket-budget.ts';

/** Connects to addresses of the host's network and to unix sockets; names are never looked up here. */
export class HostConnector implements StreamConnector {
  readonly #budget: SocketBudget;

  constructor(budget: SocketBudget) {
    this.#budget = budget;
  }

  connect(address: SocketAddress, events: StreamEvents): HostStream | Errno {
    if (this.#budget.isSpent) return LINUX_ERRNO.EMFILE;
    try {
      const target =
        address.family === 'unix'
          ? { path: address.path }
          : { host: address.address, port: address.port, noDelay: true }; // the guest decides what goes together
      const socket = connect({ ...target, allowHalfOpen: true });
      this.#budget.hold(socket);
      return new NodeStream(socket, address, events);
    } catch (error) {
      return linuxErrno(error);
    }
  }
}
