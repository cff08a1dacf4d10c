import { encodeGuestConfig, GUEST_CONFIG_PATH } from '../boot/guest-config.ts';
import { CONTROL_PORT } from '../config/consoles.ts';
import type { MachineSpec, OverlaySpec } from '../config/spec.ts';
import { initBlob } from '../host/init-blob.ts';

/** The init program, under the name that the kernel's command line gives. */
const INIT_PATH = 'init.krun';

/** Its modification time is the host's time at the moment the guest looks. */
const CLOCK_PATH = '.krun_clock';

/** What lies over a root share: the init program and what it is told. Each name is gone once the guest has opened it. */
export function guestFiles({ workload, consoles }: Pick<MachineSpec, 'workload' | 'consoles'>): OverlaySpec[] {
  return [
    { path: INIT_PATH, data: initBlob(), mode: 0o755, oneShot: true },
    { path: GUEST_CONFIG_PATH, data: encodeWorkload({ workload, consoles }), mode: 0o600, oneShot: true },
    { path: CLOCK_PATH, data: new Uint8Array(), mode: 0o444, oneShot: true },
  ];
}

function encodeWorkload({ workload, consoles }: Pick<MachineSpec, 'workload' | 'consoles'>): Uint8Array {
  const { command, env, workdir, hostname, rlimits, user, mounts } = workload;
  const [exec = '', ...args] = command;
  return encodeGuestConfig({
    exec,
    args,
    env,
    clearEnv: true,
    workdir,
    ...(hostname !== undefined && { hostname }),
    rlimits,
    ...user,
    mounts: mounts.map(({ tag, path, readOnly }) => ({
      type: 'virtiofs',
      source: tag,
      target: path,
      ...(readOnly && { options: ['ro'] }),
    })),
    ...(hasControl(consoles) && { control: CONTROL_PORT }),
    ports: (consoles[0]?.ports ?? []).flatMap(({ name }) => streamOf(name) ?? []),
  });
}

function hasControl(consoles: MachineSpec['consoles']): boolean {
  return consoles.some(({ ports }) => ports.some(({ input }) => input === 'control'));
}

function streamOf(portName: string): 'stdin' | 'stdout' | 'stderr' | undefined {
  return (['stdin', 'stdout', 'stderr'] as const).find((stream) => portName === `krun-${stream}`);
}
