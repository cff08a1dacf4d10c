import { bootTuning } from '../boot/boot-tuning.ts';
import { buildCommandLine, DEFAULT_COMMAND_LINE, replaceConsole } from '../boot/command-line.ts';
import type { KernelSpec } from '../config/spec.ts';
import { type Slot, slotWord } from './memory-map.ts';
import type { MachineResources } from './resources.ts';

type Sources = Pick<MachineResources, 'kernel' | 'tscKHz' | 'initWords'>;

/**
 * The kernel's command line in libkrun's order: default words, words for init, devices, arguments. Boot tuning and
 * the user's words follow the default ones; ` --` is always there.
 *
 * @throws {BootError} ERR_COMMAND_LINE
 */
export function kernelCommandLine(
  spec: KernelSpec,
  { kernel, tscKHz, initWords }: Sources,
  slots: readonly Slot[],
): string {
  const tuning = spec.tuning ?? bootTuning({ tscKHz });
  const head = [DEFAULT_COMMAND_LINE, ...tuning, ...spec.extraArguments, ...(initWords?.environment ?? [])].join(' ');
  const withConsole = spec.console === undefined ? head : replaceConsole(head, spec.console);
  return buildCommandLine(
    [withConsole, ...slots.map(slotWord), '--', ...(initWords?.arguments ?? [])],
    kernel.commandLineSize,
  );
}
