/** A C string: text, its bytes (up to the first NUL), or NULL. */
export type CString = string | Uint8Array | null;

/** Entries of a string array that are looked at. */
const ARRAY_MAX = 4096;

/** An argument that C would accept in type only; the function answers -EINVAL. */
export class BadArgument extends Error {
  override readonly name = 'BadArgument';
}

/** The text of a string that must be there. @throws {BadArgument} NULL, not UTF-8, or a NUL inside */
export function text(value: CString): string {
  if (value === null || value === undefined) throw new BadArgument('NULL string');
  if (typeof value === 'string') return checked(value);
  const end = value.indexOf(0);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(end < 0 ? value : value.subarray(0, end));
  } catch (cause) {
    throw new BadArgument('not UTF-8', { cause });
  }
}

/** The same where NULL has a meaning of its own. */
export function textOrNull(value: CString): string | null {
  return value === null || value === undefined ? null : text(value);
}

/** A NULL-terminated array of strings; what follows a NULL or the 4096th entry is not looked at. */
export function texts(values: readonly CString[] | null): string[] {
  if (values === null || values === undefined) throw new BadArgument('NULL array');
  const end = values.indexOf(null);
  return values.slice(0, Math.min(end < 0 ? values.length : end, ARRAY_MAX)).map(text);
}

/** An unsigned integer of so many bits. */
export function unsigned(value: number | bigint, bits: 8 | 32 | 64): number {
  const number = Number(value);
  const limit = bits === 64 ? Number.MAX_SAFE_INTEGER : 2 ** bits - 1;
  if (!Number.isInteger(number) || number < 0 || number > limit)
    throw new BadArgument(`not an unsigned ${bits}-bit number`);
  return number;
}

/** A C int. */
export function int(value: number): number {
  if (!Number.isInteger(value) || Math.abs(value) > 0x7fff_ffff) throw new BadArgument('not an int');
  return value;
}

/** JavaScript strings may hold what no C string can. */
function checked(value: string): string {
  if (typeof value !== 'string' || value.includes('\0') || /\p{Surrogate}/u.test(value))
    throw new BadArgument('not a C string');
  return value;
}
