import { getSystemErrorMap } from 'node:util';

/**
 * Gives the process another group, then another user, for good and for all its threads.
 *
 * @returns 0, or the error number of what the host refused
 */
export function changeIdentity(uid: number | undefined, gid: number | undefined): number {
  try {
    if (gid !== undefined) process.setgid?.(gid);
    if (uid !== undefined) process.setuid?.(uid);
    return 0;
  } catch (error) {
    return errorNumber(error);
  }
}

function errorNumber(error: unknown): number {
  const { errno, code } = error as NodeJS.ErrnoException;
  if (typeof errno === 'number') return Math.abs(errno);
  for (const [number, [name]] of getSystemErrorMap()) if (name === code) return Math.abs(number);
  throw error;
}
