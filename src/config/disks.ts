import { checkArray, checkBoolean, checkChoice, checkKeys, checkText, refuse } from './checks.ts';
import type { DiskOptions, MachineOptions, RootDiskOptions } from './options.ts';
import { ROOT_TAG } from './shares.ts';
import type { DiskSpec, RootDiskSpec, ShareSpec } from './spec.ts';

/** Bytes of a disk's serial. @spec VIRTIO-1.2 §5.2.6 VIRTIO_BLK_T_GET_ID */
const SERIAL_BYTES_MAX = 20;

/** Where init mounts what the kernel needs before a disk becomes the root. */
const ROOT_DISK_DIRECTORIES = ['dev', 'proc', 'sys', 'newroot'];

/** All virtio-blk devices in order. */
export function resolveDisks({ disks }: MachineOptions): DiskSpec[] {
  return checkArray('disks', disks).map((disk, index) => resolveDisk(disk, `disks[${index}]`));
}

function resolveDisk(disk: DiskOptions, what: string): DiskSpec {
  checkKeys(what, disk, ['path', 'format', 'readOnly', 'direct', 'sync', 'serial', 'opened']);
  const { serial } = disk;
  if (serial !== undefined && new TextEncoder().encode(checkText(`${what}.serial`, serial)).length > SERIAL_BYTES_MAX)
    refuse(`${what}.serial`, `it is longer than ${SERIAL_BYTES_MAX} bytes`);
  return {
    path: checkText(`${what}.path`, disk.path),
    format: checkChoice(`${what}.format`, disk.format ?? 'raw', ['raw', 'qcow2', 'vmdk']),
    readOnly: checkBoolean(`${what}.readOnly`, disk.readOnly),
    direct: checkBoolean(`${what}.direct`, disk.direct),
    sync: checkChoice(`${what}.sync`, disk.sync ?? 'full', ['none', 'relaxed', 'full']),
    ...(serial !== undefined && { serial }),
    ...(disk.opened !== undefined && { opened: disk.opened.map((file) => ({ ...file })) }),
  };
}

/** The disk that becomes the guest's root. */
export function resolveRootDisk(rootDisk: RootDiskOptions | undefined): RootDiskSpec | undefined {
  if (rootDisk === undefined) return undefined;
  checkKeys('rootDisk', rootDisk, ['device', 'fileSystem', 'options']);
  const { device = '/dev/vda', fileSystem, options } = rootDisk;
  return {
    device: checkValue('rootDisk.device', device),
    ...(fileSystem !== undefined &&
      fileSystem !== 'auto' && {
        fileSystem: checkValue('rootDisk.fileSystem', fileSystem),
      }),
    ...(options !== undefined && { options: checkValue('rootDisk.options', options) }),
  };
}

/** The share that init starts from when a disk becomes the root later: nothing but what init needs. */
export function rootDiskShare(): ShareSpec {
  const overlay = ROOT_DISK_DIRECTORIES.map((path) => ({ path, mode: 0o755, oneShot: false }));
  return { tag: ROOT_TAG, path: null, readOnly: false, init: true, overlay };
}

/** These travel on the kernel's command line, where a value can be quoted and a quote cannot. */
function checkValue(what: string, value: unknown): string {
  const text = checkText(what, value);
  return /^[\x20\x21\x23-\x7e]+$/.test(text)
    ? text
    : refuse(what, `${JSON.stringify(text)} is not printable ASCII without quotes`);
}
