import { readFileSync } from 'node:fs';

const PARAMETERS = ['/sys/module/kvm_intel/parameters/nested', '/sys/module/kvm_amd/parameters/nested'];

/**
 * Whether the host's KVM lets guests have guests.
 *
 * @param read reads one of Linux's module parameters; throws when there is none
 */
export function hostNestsGuests(read: (path: string) => string = (path) => readFileSync(path, 'latin1')): boolean {
  return PARAMETERS.some((path) => {
    try {
      return /^\s*[1yY]\s*$/.test(read(path));
    } catch {
      return false;
    }
  });
}
