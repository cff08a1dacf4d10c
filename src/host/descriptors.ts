import { fstatSync } from 'node:fs';
import { isatty } from 'node:tty';

/** How a descriptor of this process joins a guest's console: as its terminal, as a port of its own, or not at all. */
export function kindOfDescriptor(fd: number): 'terminal' | 'pipe' | 'none' {
  if (fd < 0) return 'none';
  if (isatty(fd)) return 'terminal';
  try {
    fstatSync(fd);
    return 'pipe';
  } catch {
    return 'none';
  }
}
