import type { GuestMemory } from '../memory/guest-memory.ts';
import { BootError } from './boot-error.ts';
import { BOOT } from './layout.ts';

/** What libkrun passes to every kernel that brings no command line of its own. */
export const DEFAULT_COMMAND_LINE =
  'reboot=k panic=-1 panic_print=0 nomodule console=hvc0 rootfstype=virtiofs rw quiet no-kvmapf init=/init.krun';

/** An x86 kernel built without a longer limit keeps this many bytes, NUL included, and cuts the rest in silence. */
export const COMMAND_LINE_SIZE = 2048;

/** The kernel panics when more unknown words, or more words after ` -- `, reach init than this (MAX_INIT_ENVS, _ARGS). */
export const INIT_WORDS_MAX = 32;

/**
 * Whether the kernel hands this text to init unchanged inside one pair of double quotes: its parser knows no escape
 * for the quote itself, and only printable ASCII passes the builder. What does not fit goes another way.
 */
export function isQuotable(text: string): boolean {
  return /^[\x20\x21\x23-\x7e]*$/.test(text);
}

/** One word of the command line that keeps its spaces. @throws {BootError} ERR_COMMAND_LINE */
export function quoteWord(text: string): string {
  if (!isQuotable(text)) throw refusal(`word ${JSON.stringify(text)} holds a quote or is not printable ASCII`);
  return `"${text}"`;
}

/**
 * Joins the parts with single spaces; empty parts are left out.
 *
 * @param sizeMax bytes the kernel keeps, NUL included; at most 0x10000
 * @throws {BootError} ERR_COMMAND_LINE: a byte outside 0x20..0x7e, or too long: nothing is ever cut
 */
export function buildCommandLine(parts: readonly string[], sizeMax: number = COMMAND_LINE_SIZE): string {
  const line = parts.filter((part) => part !== '').join(' ');
  const bad = /[^\x20-\x7e]/u.exec(line);
  if (bad !== null) throw refusal(`character ${JSON.stringify(bad[0])} at ${bad.index} is not printable ASCII`);
  const limit = Math.min(sizeMax, BOOT.commandLineBytes);
  if (line.length + 1 > limit) throw refusal(`it has ${line.length} bytes, the kernel keeps ${limit - 1}`);
  return line;
}

/** Replaces the value of the first `console=`; a line without one gets it appended. */
export function replaceConsole(line: string, console: string): string {
  const found = /(^| )console=[^ ]*/.exec(line);
  if (found === null) return line === '' ? `console=${console}` : `${line} console=${console}`;
  return `${line.slice(0, found.index)}${found[1] ?? ''}console=${console}${line.slice(found.index + found[0].length)}`;
}

/** Writes the line and its NUL where boot_params points. */
export function writeCommandLine(memory: GuestMemory, line: string): void {
  const bytes = new Uint8Array(line.length + 1);
  for (let i = 0; i < line.length; i++) bytes[i] = line.charCodeAt(i);
  memory.write(BOOT.commandLine, bytes);
}

function refusal(state: string): BootError {
  return new BootError('ERR_COMMAND_LINE', `Cannot build the kernel command line: ${state}`);
}
