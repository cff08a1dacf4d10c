import type { FileSystem } from '../../fuse/file-system.ts';
import type { ShareTag } from './options.ts';

/** What a share is made of. */
export interface SharedDirectory {
  readonly tag: ShareTag;
  /** Stays the host's: a reset of the device drops what the guest held in it, and the host closes it. */
  readonly fileSystem: FileSystem;
  /** The guest's init reports the exit status of its workload; it may do so through any share. */
  readonly onExitCode?: (code: number) => void;
}
