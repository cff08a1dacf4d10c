import { accessSync, constants, existsSync, statSync } from 'node:fs';

/** Whether this user can read a regular file there. */
export function isReadableFile(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** Whether anything is there. */
export function pathExists(path: string): boolean {
  return existsSync(path);
}
