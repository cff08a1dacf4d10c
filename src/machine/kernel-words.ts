import { bootTuning } from '../boot/boot-tuning.ts';
import { buildCommandLine, DEFAULT_COMMAND_LINE, replaceConsole } from '../boot/command-line.ts';
import type { KernelSpec } from '../config/spec.ts';
import { type Slot, slotWord } from './memory-map.ts';
import type { GuestKernel, MachineResources } from './resources.ts';

interface Sources extends Pick<MachineResources, 'tscKHz' | 'initWords'> {
  readonly kernel: GuestKernel;
}

/**
 * The kernel's command line in libkrun's order: default words, words for init, devices, arguments. Boot tuning and
 * the user's words follow the default ones; a line of the user's own takes the place of default words and tuning.
 * ` --` is always there.
 *
 * @throws {BootError} ERR_COMMAND_LINE
 */
export function kernelCommandLine(
  spec: KernelSpec,
  { kernel, tscKHz, initWords }: Sources,
  devices: readonly { readonly slot: Slot; readonly words: readonly string[] }[],
): string {
  const prolog = spec.file?.commandLine;
  const tuning = spec.tuning ?? (prolog === undefined ? bootTuning({ tscKHz }) : []);
  const head = [
    prolog ?? DEFAULT_COMMAND_LINE,
    ...tuning,
    ...spec.extraArguments,
    ...(initWords?.environment ?? []),
  ].join(' ');
  const withConsole = spec.console === undefined ? head : replaceConsole(head, spec.console);
  const deviceWords = devices.flatMap(({ slot, words }) => [slotWord(slot), ...words]);
  return buildCommandLine([withConsole, ...deviceWords, '--', ...(initWords?.arguments ?? [])], kernel.commandLineSize);
}
