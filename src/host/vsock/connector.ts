import { connect } from 'node:net';
import type {
  Errno,
  HostStream,
  SocketAddress,
  StreamConnector,
  StreamEvents,
} from '../../devices/virtio-vsock/backend.ts';
import { linuxErrno } from './linux-errno.ts';
import { NodeStream } from './node-stream.ts';

/** Connects to addresses of the host's network and to unix sockets; names are never looked up here. */
export const hostConnector: StreamConnector = {
  connect(address: SocketAddress, events: StreamEvents): HostStream | Errno {
    try {
      const target =
        address.family === 'unix'
          ? { path: address.path }
          : { host: address.address, port: address.port, noDelay: true }; // the guest decides what goes together
      return new NodeStream(connect({ ...target, allowHalfOpen: true }), address, events);
    } catch (error) {
      return linuxErrno(error);
    }
  },
};
