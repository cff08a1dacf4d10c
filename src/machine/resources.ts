import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { FirmwareImage } from '../boot/firmware-image.ts';
import type { KernelImage } from '../boot/kernel-image.ts';
import type { SerialBackend } from '../devices/legacy/uart.ts';
import type { MemoryDiscarder } from '../devices/virtio-balloon/backend.ts';
import type { BlockBackend } from '../devices/virtio-blk/index.ts';
import type { ConsoleBackend } from '../devices/virtio-console/index.ts';
import type { NetBackend } from '../devices/virtio-net/index.ts';
import type { SharedDirectory } from '../devices/virtio-fs/backend.ts';
import type { ByteSource } from '../devices/virtio-rng/index.ts';
import type { VsockBackend } from '../devices/virtio-vsock/index.ts';

/** Everything a machine needs from outside, opened. The machine closes none of it. */
export interface MachineResources {
  readonly kernel: Payload;
  /** For the kernel: it is at the top of RAM. */
  readonly initramfs?: Uint8Array;
  /** SMBIOS's strings of the owner. */
  readonly oemStrings?: readonly string[];
  readonly clock: Clock;
  readonly log: Log;
  readonly entropy: ByteSource;
  readonly balloon: MemoryDiscarder;
  /** In the order of `MachineSpec.consoles`. */
  readonly consoles: readonly ConsoleBackend[];
  /** In the order of `MachineSpec.shares`. */
  readonly shares: readonly Omit<SharedDirectory, 'onExitCode'>[];
  /** In the order of `MachineSpec.disks`. */
  readonly disks?: readonly BlockBackend[];
  /** Absent: the machine has no vsock device. */
  readonly vsock?: VsockBackend;
  /** In the order of `MachineSpec.interfaces`. */
  readonly interfaces?: readonly NetBackend[];
  /** Whether init configures eth0 by DHCP. */
  readonly dhcp?: boolean;
  /** COM1 and on. */
  readonly serials?: readonly SerialBackend[];
  /** Ticks of the guest's time-stamp counter per millisecond. */
  readonly tscKHz: number;
  readonly initWords?: InitWords;
  /** See `MmioTransportOptions.schedule`. */
  readonly schedule?: (task: () => void) => void;
}

/** What runs first. */
export type Payload = GuestKernel | FirmwareImage;

/** A kernel, and what its builder decided that a loader must know. */
export interface GuestKernel extends KernelImage {
  /** Bytes of command line it keeps, NUL included; default 2048. */
  readonly commandLineSize?: number;
}

/** What goes to the guest's init by the kernel's command line; words are quoted where they need it. */
export interface InitWords {
  /** Such as `KRUN_INIT=/bin/sh`. */
  readonly environment?: readonly string[];
  /** After ` -- `. */
  readonly arguments?: readonly string[];
}
