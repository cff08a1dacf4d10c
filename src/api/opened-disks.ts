import { resolveDisks } from '../config/disks.ts';
import type { MachineOptions } from '../config/options.ts';
import { openFilesOf } from '../host/disk/open-disk.ts';

/**
 * The same disks with their files open, for a process that is about to change its identity: disks belong to who starts
 * the machine, not to who runs it.
 *
 * @throws {KrunError} ERR_INVALID_OPTION, or what a disk's file or format says
 */
export function withOpenedDisks(options: MachineOptions): Pick<MachineOptions, 'disks'> {
  const disks = resolveDisks(options);
  return disks.length === 0 ? {} : { disks: disks.map((disk) => ({ ...disk, opened: openFilesOf(disk) })) };
}
