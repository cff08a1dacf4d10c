import { enterMachine } from '../api/enter.ts';
import type { ConsoleOptions, MachineOptions, PortConsoleOptions, ShareOptions } from '../config/options.ts';
import { disksOf } from './disks.ts';
import { type Context, removeContext } from './contexts.ts';
import { EINVAL, ENOENT } from './errno.ts';
import { payloadOf } from './kernel.ts';
import { log } from './log.ts';
import { networkOf } from './vsock.ts';

/**
 * Starts the machine on standard input and output and ends this process with the command's exit code.
 *
 * Resolves only when the machine could not be started, with a negative error number; the context is gone either way.
 * -ENOENT: no such context, or no guest kernel; -EINVAL: the machine could not be built; what setgid or setuid said.
 */
export async function krun_start_enter(ctx_id: number): Promise<number> {
  const context = removeContext(ctx_id);
  if (context === undefined) return -ENOENT;
  const { uid, gid, consoles, serials, implicitConsole, shutdown } = context;
  const implicit = implicitConsole ? [[0, 1, 2] as const] : [];
  const descriptors = [
    ...implicit,
    ...consoles.map((console) => (console.kind === 'default' ? console.descriptors : console.ports)),
  ];
  const { stage, errno } = await enterMachine(toOptions(context), { uid, gid, descriptors, serials, shutdown, log });
  if (errno !== undefined) return -errno;
  return stage === 'kernel' ? -ENOENT : -EINVAL;
}

/** What the functions collected, as options of the idiomatic interface. Exported for tests. */
export function toOptions(context: Context): MachineOptions {
  const { exec, consoles, serials, consoleOutput } = context;
  return {
    command: exec === undefined ? ['/bin/sh'] : [exec.path, ...exec.args],
    env: context.env ?? hostEnvironment(),
    ...(context.workdir !== undefined && { workdir: context.workdir }),
    rlimits: context.rlimits,
    memoryMiB: context.memoryMiB,
    vcpus: context.vcpus,
    ...(context.splitIrqchip && { splitIrqchip: true }),
    ...(context.nested && { nested: true }),
    shares: context.shares.map((share): ShareOptions => share),
    ...disksOf(context),
    ...(context.rootDisk && { rootDisk: context.rootDisk }),
    ...(!context.implicitConsole && { console: false as const }),
    ...(context.implicitConsole && consoleOutput !== undefined && { console: { outputFile: consoleOutput } }),
    extraConsoles: consoles.map(consoleOptions),
    shutdown: context.shutdown !== undefined,
    serials: serials.map(({ input, output }) => ({ input: input >= 0, output: output >= 0 })),
    ...networkOf(context),
    ...payloadOf(context),
  };
}

function consoleOptions(console: Context['consoles'][number]): ConsoleOptions | PortConsoleOptions {
  if (console.kind === 'default') return console.options;
  const ports = console.ports.map(({ name, terminal, input, output }) => {
    return { name, terminal, input: input >= 0, output: output >= 0 };
  });
  return { ports };
}

function hostEnvironment(): string[] {
  return Object.entries(process.env).map(([name, value]) => `${name}=${value}`);
}
