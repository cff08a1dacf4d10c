import type { Log } from '../base/log.ts';
import type { ConsoleOptions, MachineOptions } from '../config/options.ts';
import { kindOfDescriptor } from '../host/descriptors.ts';
import { changeIdentity } from '../host/identity.ts';
import { findFirmware } from '../host/kernel/provider.ts';
import { type Attachment, attachConsole, attachPort, type Descriptors } from './attach.ts';
import { type Stage, toKrunError } from './errors.ts';
import { withOpenedDisks } from './opened-disks.ts';
import { MicroVm } from './micro-vm.ts';
import type { WishPipe } from './wish-pipe.ts';
import { type Exit, exitStatus } from './vm-exit.ts';

/** How `enterMachine` treats the process. */
export interface EnterOptions {
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  /** Descriptors of each console, in order of the consoles; of each port, where it consists of ports. */
  readonly descriptors: readonly (Descriptors | readonly PortDescriptors[])[];
  /** Descriptors of each serial port. */
  readonly serials: readonly PortDescriptors[];
  /** Its writers ask the guest to end. */
  readonly shutdown: WishPipe | undefined;
  readonly log: Log;
}

/** Descriptors of this process that take the place of a port's directions; a negative one is left out. */
export interface PortDescriptors {
  readonly input: number;
  readonly output: number;
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
  { uid, gid, descriptors, serials, shutdown, log }: EnterOptions,
): Promise<EnterFailure> {
  try {
    const kernel = await findKernel(options);
    const disks = uid === undefined && gid === undefined ? {} : withOpenedDisks(options);
    const errno = changeIdentity(uid, gid);
    if (errno !== 0) return { stage: 'resources', errno };
    const vm = await MicroVm.start({
      ...options,
      ...disks,
      ...onDescriptors(options, descriptors),
      ...kernel,
      log,
    });
    shutdown?.onWish(() => void vm.shutdown({ timeoutMs: Number.POSITIVE_INFINITY }));
    const exit = await live(vm, { descriptors, serials });
    process.exit(isPlainEnd(options, exit) ? 0 : exitStatus(exit));
  } catch (error) {
    const { stage, message } = toKrunError(error, 'kernel');
    log('error', message);
    if (stage === 'kernel') process.stderr.write(`krun: ${message}\n`);
    return { stage };
  }
}

/** A kernel or firmware of the user's that ends by itself has ended well: no init of ours has to say how. */
function isPlainEnd({ kernel, bios }: MachineOptions, { reason }: Exit): boolean {
  return (kernel?.path !== undefined || bios !== undefined) && (reason === 'reset' || reason === 'halted');
}

/** A libkrunfw is looked for before the identity changes, and only where it is wanted. */
async function findKernel({ kernel, bios }: MachineOptions): Promise<Pick<MachineOptions, 'kernel'>> {
  if (bios !== undefined || kernel?.path !== undefined) return {};
  const { path } = await findFirmware({ firmware: kernel?.firmware });
  return { kernel: { ...kernel, firmware: path } };
}

/** The implicit console takes the shape of the descriptors it is joined to. */
function onDescriptors(
  { console }: MachineOptions,
  [first]: EnterOptions['descriptors'],
): { console?: ConsoleOptions } {
  if (console === false || console?.outputFile !== undefined || first === undefined || !isStreams(first)) return {};
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

function isStreams(descriptors: Descriptors | readonly PortDescriptors[]): descriptors is Descriptors {
  return typeof descriptors[0] === 'number';
}

function attachAll(vm: MicroVm, { descriptors, serials }: Pick<EnterOptions, 'descriptors' | 'serials'>): Attachment[] {
  const consoles = vm.consoles.flatMap((console, index) => {
    const own = descriptors[index] ?? [];
    if (isStreams(own)) return attachConsole(console, own);
    return console.ports.map((port, number) => attachPort(port, own[number] ?? {}));
  });
  return [...consoles, ...vm.serials.map((serial, index) => attachPort(serial, serials[index] ?? {}))];
}

async function live(vm: MicroVm, joined: Pick<EnterOptions, 'descriptors' | 'serials'>): Promise<Exit> {
  const attachments = attachAll(vm, joined);
  // Without a terminal of ours the host's own still makes signals of Ctrl-C: the guest gets them as the character.
  process.on('SIGINT', () => vm.consoles[0]?.interrupt());
  const exit = await vm.exited;
  for (const { detach } of attachments) detach();
  await Promise.allSettled(attachments.map(({ finished }) => finished));
  return exit;
}
