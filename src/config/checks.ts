import { KrunError } from '../base/krun-error.ts';

/** A user option cannot be used. */
export function refuse(what: string, state: string, hint?: string): never {
  throw new KrunError('ERR_INVALID_OPTION', `Cannot use ${what}: ${state}`, { stage: 'config', hint });
}

/** A non-empty text without NUL, which no C string could carry into the guest. */
export function checkText(what: string, value: unknown, { empty = false } = {}): string {
  if (typeof value !== 'string') refuse(what, `expected a string, found ${describe(value)}`);
  if (value === '' && !empty) refuse(what, 'it is empty');
  if (value.includes('\0')) refuse(what, 'it holds a NUL character');
  if (/\p{Surrogate}/u.test(value)) refuse(what, 'it holds half a surrogate pair and has no UTF-8 form');
  return value;
}

/** A path that starts at the guest's root. */
export function checkGuestPath(what: string, value: unknown): string {
  const path = checkText(what, value);
  if (!path.startsWith('/')) refuse(what, `"${path}" is not absolute`);
  return path;
}

/** A switch; absent means false. */
export function checkBoolean(what: string, value: unknown): boolean {
  return typeof value === 'boolean' || value === undefined
    ? value === true
    : refuse(what, `expected true or false, found ${describe(value)}`);
}

/** A whole number in a range, both ends included. */
export function checkInteger(what: string, value: unknown, min: number, max: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value))
    refuse(what, `expected a whole number, found ${describe(value)}`);
  if (value < min || value > max) refuse(what, `${value} is outside ${min} to ${max}`);
  return value;
}

/** One of a few words. */
export function checkChoice<T extends string>(what: string, value: unknown, choices: readonly T[]): T {
  const found = choices.find((choice) => choice === value);
  return found ?? refuse(what, `expected ${choices.join(', ')}, found ${describe(value)}`);
}

/** An array; what is in it is checked by its owner. */
export function checkArray<T>(what: string, value: readonly T[] | undefined): readonly T[] {
  if (value === undefined) return [];
  return Array.isArray(value) ? value : refuse(what, `expected an array, found ${describe(value)}`);
}

/** Words of the kernel's command line. */
export function checkWords(what: string, value: readonly string[] | undefined): readonly string[] {
  return checkArray(what, value).map((item) => {
    const word = checkText(what, item);
    return /^[\x21-\x7e]+$/.test(word)
      ? word
      : refuse(what, `${JSON.stringify(word)} is not one word of printable ASCII`);
  });
}

/** An option that is misspelt would otherwise be ignored without a word. */
export function checkKeys(what: string, value: unknown, known: readonly string[]): void {
  if (typeof value !== 'object' || value === null) refuse(what, `expected an object, found ${describe(value)}`);
  for (const key of Object.keys(value)) if (!known.includes(key)) refuse(what, `unknown option "${key}"`);
}

function describe(value: unknown): string {
  if (value === null) return 'null';
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : typeof value;
}
