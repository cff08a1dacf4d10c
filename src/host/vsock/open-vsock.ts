import type { VsockSpec } from '../../config/spec.ts';
import type { VsockBackend } from '../../devices/virtio-vsock/backend.ts';
import { HostConnector } from './connector.ts';
import { DnsService, hostServers } from './dns-service.ts';
import { EgressPolicy } from './egress-policy.ts';
import { GuardedConnector, GuardedDatagrams } from './guarded.ts';
import { HostListeners } from './listeners.ts';
import { ServicePorts } from './service-ports.ts';
import { SocketBudget } from './socket-budget.ts';

/** Upstream's address for every guest. */
const GUEST_CID = 3;

/** Sockets of one guest; as many as it may have connections, and some for others. */
const SOCKETS_MAX = 5000;

/** The host's side of a vsock device, opened. */
export interface OpenVsock {
  readonly backend: VsockBackend;
  readonly ports: ServicePorts;
  close(): void;
}

/** Opens what a vsock device needs. @throws {KrunError} ERR_VSOCK_LISTEN */
export async function openVsock(spec: VsockSpec): Promise<OpenVsock> {
  const { tsi, egress, resolvers } = spec;
  const budget = new SocketBudget(SOCKETS_MAX);
  const ports = await ServicePorts.open(spec.unixPorts, budget);
  const policy = new EgressPolicy(egress, () => performance.now());
  const dns = new DnsService(policy, () => resolvers ?? hostServers());
  const hijack = {
    ...tsi,
    streams: new GuardedConnector(policy, new HostConnector(budget)),
    listeners: new HostListeners(spec.ports, budget),
    datagrams: new GuardedDatagrams(policy, dns, budget),
  };
  return {
    backend: { guestCid: GUEST_CID, ports, ...((tsi.inet || tsi.unix) && { tsi: hijack }) },
    ports,
    close: () => {
      dns.close();
      ports.close();
    },
  };
}
