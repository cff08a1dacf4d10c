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
  devices: readonly { readonly slot: Slot; readonly words: readonly string[] }[],
): string {
  const tuning = spec.tuning ?? bootTuning({ tscKHz });
  const head = [DEFAULT_COMMAND_LINE, ...tuning, ...spec.extraArguments, ...(initWords?.environment ?? [])].join(' ');
  const withConsole = spec.console === undefined ? head : replaceConsole(head, spec.console);
  const deviceWords = devices.flatMap(({ slot, words }) => [slotWord(slot), ...words]);
  return buildCommandLine([withConsole, ...deviceWords, '--', ...(initWords?.arguments ?? [])], kernel.commandLineSize);
}
