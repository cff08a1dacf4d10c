import type { PasstSpec, PublishedPortSpec } from '../../config/spec.ts';

/** What a passt is told about the host and the guest's ports. The user's own words come last, and so win. */
export function passtArguments({ ports, hostLoopback, args }: Omit<PasstSpec, 'kind' | 'program'>): string[] {
  return [
    ...(hostLoopback ? [] : ['--no-map-gw']),
    ...(ports === 'all' ? ['--tcp-ports', 'all'] : ports.flatMap((port) => ['--tcp-ports', forward(port)])),
    ...args,
  ];
}

/** `[ADDRESS/]HOST:GUEST`; without an address every one of the host. */
function forward({ hostPort, guestPort, address }: PublishedPortSpec): string {
  return `${address === undefined ? '' : `${address}/`}${hostPort}:${guestPort}`;
}
