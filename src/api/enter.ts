import type { Log } from '../base/log.ts';
import type { ConsoleOptions, MachineOptions } from '../config/options.ts';
import { kindOfDescriptor } from '../host/descriptors.ts';
import { changeIdentity } from '../host/identity.ts';
import { findFirmware } from '../host/kernel/provider.ts';
import { attachConsole, type Descriptors } from './attach.ts';
import { type Stage, toKrunError } from './errors.ts';
import { withOpenedDisks } from './opened-disks.ts';
import { MicroVm } from './micro-vm.ts';
import { exitStatus } from './vm-exit.ts';

/** How `enterMachine` treats the process. */
export interface EnterOptions {
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  /** Descriptors of each console, in order of the consoles. */
  readonly descriptors: readonly Descriptors[];
  readonly log: Log;
}

/** Why a machine was not entered. */
export interface EnterFailure {
  readonly stage: Stage;
  /** What the host answered to a change of identity. */
  readonly errno?: number;
}

/**
 * Becomes the machine: joins its consoles to descriptors of this process and ends the process with the command's exit
 * status. Resolves only when the machine could not be started.
 *
 * The kernel is found and disks are opened with the original identity, everything else with the new one.
 */
export async function enterMachine(
  options: MachineOptions,
  { uid, gid, descriptors, log }: EnterOptions,
): Promise<EnterFailure> {
  try {
    const { path } = await findFirmware({ firmware: options.kernel?.firmware });
    const disks = uid === undefined && gid === undefined ? {} : withOpenedDisks(options);
    const errno = changeIdentity(uid, gid);
    if (errno !== 0) return { stage: 'resources', errno };
    const vm = await MicroVm.start({
      ...options,
      ...disks,
      ...onDescriptors(options, descriptors),
      kernel: { ...options.kernel, firmware: path },
      log,
    });
    process.exit(await live(vm, descriptors));
  } catch (error) {
    const { stage, message } = toKrunError(error, 'kernel');
    log('error', message);
    if (stage === 'kernel') process.stderr.write(`krun: ${message}\n`);
    return { stage };
  }
}

/** The implicit console takes the shape of the descriptors it is joined to. */
function onDescriptors({ console }: MachineOptions, [first]: readonly Descriptors[]): { console?: ConsoleOptions } {
  if (console === false || console?.outputFile !== undefined || first === undefined) return {};
  const [input, output, error] = first;
  return {
    console: {
      input: kindOfDescriptor(input),
      output: kindOfDescriptor(output),
      error: kindOfDescriptor(error),
      ...console,
    },
  };
}

async function live(vm: MicroVm, descriptors: readonly Descriptors[]): Promise<number> {
  const attachments = vm.consoles.map((console, index) => attachConsole(console, descriptors[index] ?? [-1, -1, -1]));
  // Without a terminal of ours the host's own still makes signals of Ctrl-C: the guest gets them as the character.
  process.on('SIGINT', () => vm.consoles[0]?.interrupt());
  const exit = await vm.exited;
  for (const { detach } of attachments) detach();
  await Promise.allSettled(attachments.map(({ finished }) => finished));
  return exitStatus(exit);
}
