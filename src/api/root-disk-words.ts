import type { RootDiskSpec } from '../config/spec.ts';
import type { InitWords } from '../machine/resources.ts';

/** What tells init which disk becomes the root; its values hold no quotes. */
export function rootDiskWords({ device, fileSystem, options }: RootDiskSpec): InitWords {
  const words = [
    `KRUN_BLOCK_ROOT_DEVICE=${device}`,
    fileSystem !== undefined && `KRUN_BLOCK_ROOT_FSTYPE=${fileSystem}`,
    options !== undefined && `KRUN_BLOCK_ROOT_OPTIONS=${options}`,
  ];
  const given = words.filter((word) => word !== false);
  return { environment: given.map((word) => (word.includes(' ') ? `"${word}"` : word)) };
}
