import type { Log } from '../base/log.ts';
import type { MachineSpec } from '../config/spec.ts';
import type { FileSystem } from '../fuse/file-system.ts';
import { hostClock } from '../host/clock.ts';
import { type ConsoleLink, type OpenConsole, openConsole } from '../host/console-backend.ts';
import { type OpenDisk, openDisk } from '../host/disk/open-disk.ts';
import { hostEntropy } from '../host/entropy.ts';
import { type OpenSerial, openSerial } from '../host/serial-backend.ts';
import { HostMemoryDiscarder } from '../host/memory-discarder.ts';
import { openInterfaces } from '../host/net/open-interfaces.ts';
import type { OpenNet } from '../host/net/link.ts';
import { mountPoints, openShare } from '../host/shares.ts';
import { type OpenVsock, openVsock } from '../host/vsock/open-vsock.ts';
import type { MachineResources } from '../machine/resources.ts';
import { atStage } from './errors.ts';
import { rootDiskWords } from './root-disk-words.ts';
import { guestFiles } from './guest-files.ts';
import type { KernelProgress } from './messages.ts';
import { openPayload } from './payload.ts';

/** What `openResources` is given besides the specification. */
export interface ResourceOptions {
  readonly wire: (console: number) => ConsoleLink;
  readonly signal?: AbortSignal;
  readonly onFetch?: (progress: KernelProgress) => void;
  readonly log: Log;
  readonly tscKHz: number;
}

/** Everything a machine needs from the host, opened. */
export interface Resources extends MachineResources {
  readonly balloon: HostMemoryDiscarder;
  readonly openConsoles: readonly OpenConsole[];
  readonly openSerials: readonly OpenSerial[];
  readonly openVsock: OpenVsock | undefined;
  /** As `uname -r` prints it. */
  readonly kernelRelease: string;
  close(): void;
}

/**
 * Finds the kernel and opens shares and consoles; the only stage that opens anything.
 *
 * @throws {KrunError} what could not be opened; everything opened before is closed again
 */
export async function openResources(spec: MachineSpec, options: ResourceOptions): Promise<Resources> {
  const { wire, signal, onFetch, log, tscKHz } = options;
  const payload = await openPayload(spec, { signal, onFetch });
  const closers: (() => void)[] = [];
  const close = (): void => {
    for (const closer of closers.splice(0)) closer();
  };
  try {
    const disks = await atStage('resources', () => openDisks(spec, log, closers));
    const shares = await atStage('resources', () => openShares(spec, closers));
    const consoles = await atStage('resources', () => openConsoles(spec, wire, closers));
    const serials = await atStage('resources', () => openSerials(spec, wire, closers));
    const vsock = await atStage('resources', () => openSockets(spec, closers));
    const interfaces = await atStage('resources', () => openNetwork(spec, log, closers));
    return {
      ...payload,
      oemStrings: spec.oemStrings,
      clock: hostClock,
      log,
      entropy: hostEntropy,
      balloon: new HostMemoryDiscarder(),
      consoles: consoles.map(({ backend }) => backend),
      openConsoles: consoles,
      serials: serials.map(({ backend }) => backend),
      openSerials: serials,
      openVsock: vsock,
      ...(vsock !== undefined && { vsock: vsock.backend }),
      interfaces,
      dhcp: spec.dhcp,
      shares,
      disks,
      ...(spec.rootDisk && { initWords: rootDiskWords(spec.rootDisk) }),
      tscKHz,
      close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

function openDisks({ disks }: MachineSpec, log: Log, closers: (() => void)[]): OpenDisk[] {
  return disks.map((disk) => {
    const opened = openDisk(disk);
    closers.push(() => {
      try {
        opened.close();
      } catch (error) {
        log('error', `Cannot write all of disk "${disk.path}" out: ${(error as Error).message}`);
      }
    });
    return opened;
  });
}

function openShares(spec: MachineSpec, closers: (() => void)[]): { tag: string; fileSystem: FileSystem }[] {
  return spec.shares.map((share) => {
    const extra = share.init
      ? [
          ...guestFiles(spec),
          ...mountPoints(
            share.path,
            spec.workload.mounts.map(({ path }) => path),
          ),
        ]
      : [];
    const fileSystem = openShare(share, extra);
    closers.push(() => fileSystem.close());
    return { tag: share.tag, fileSystem };
  });
}

function openConsoles(
  spec: MachineSpec,
  wire: (console: number) => ConsoleLink,
  closers: (() => void)[],
): OpenConsole[] {
  return spec.consoles.map((console, index) => {
    const opened = openConsole(console, wire(index));
    closers.push(() => opened.close());
    return opened;
  });
}

function openSerials(
  { serials, consoles }: MachineSpec,
  wire: (console: number) => ConsoleLink,
  closers: (() => void)[],
): OpenSerial[] {
  return serials.map((serial, index) => {
    const opened = openSerial(serial, wire(consoles.length + index));
    closers.push(() => opened.close());
    return opened;
  });
}

async function openSockets({ vsock }: MachineSpec, closers: (() => void)[]): Promise<OpenVsock | undefined> {
  if (vsock === undefined) return undefined;
  const opened = await openVsock(vsock);
  closers.push(() => opened.close());
  return opened;
}

async function openNetwork({ interfaces }: MachineSpec, log: Log, closers: (() => void)[]): Promise<OpenNet[]> {
  if (interfaces.length === 0) return [];
  const opened = await openInterfaces(interfaces, log);
  closers.push(() => {
    for (const one of opened) one.close();
  });
  return opened;
}
