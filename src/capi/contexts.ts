import type {
  ConsoleOptions,
  DiskOptions,
  InterfaceOptions,
  KernelOptions,
  RootDiskOptions,
} from '../config/options.ts';
import type { WishPipe } from '../api/wish-pipe.ts';
import { BadArgument } from './arguments.ts';
import { EINVAL, ENOENT } from './errno.ts';

/** One file or directory of an overlay; a directory has no data. */
export interface OverlayNode {
  readonly path: string;
  readonly data?: Uint8Array;
  readonly mode: number;
  readonly oneShot: boolean;
}

/** A file-sharing device as it was asked for. */
export interface Share {
  readonly tag: string;
  readonly path: string | null;
  readonly readOnly: boolean;
  readonly init: boolean;
  readonly overlay: OverlayNode[];
}

/** A console on three descriptors. */
export interface DefaultConsole {
  readonly kind: 'default';
  readonly options: ConsoleOptions;
  readonly descriptors: readonly [number, number, number];
}

/** A console of ports that are added to it. */
export interface PortConsole {
  readonly kind: 'multiport';
  readonly ports: {
    readonly name: string;
    readonly terminal: boolean;
    readonly input: number;
    readonly output: number;
  }[];
}

/** What was said about the vsock device: nothing yet, that there is none, or its TSI flags. */
export type VsockState = 'implicit' | 'disabled' | { readonly tsi: number };

/** What the functions have collected so far. */
export interface Context {
  vcpus: number;
  memoryMiB: number;
  splitIrqchip: boolean;
  nested: boolean;
  readonly shares: Share[];
  /** In call order. */
  readonly disks: DiskOptions[];
  /** What the deprecated setters say; it counts when `disks` is empty. */
  oldRootDisk: string | undefined;
  oldDataDisk: string | undefined;
  rootDisk: RootDiskOptions | undefined;
  implicitInit: boolean;
  exec: { path: string; args: string[] } | undefined;
  /** Undefined means the host's environment, as NULL does. */
  env: string[] | undefined;
  workdir: string | undefined;
  rlimits: string[];
  implicitConsole: boolean;
  consoleOutput: string | undefined;
  /** In call order; a console's number is its place. */
  readonly consoles: (DefaultConsole | PortConsole)[];
  readonly serials: { readonly input: number; readonly output: number }[];
  kernelConsole: string | undefined;
  /** What `krun_set_kernel` said. */
  kernel: KernelOptions | undefined;
  firmware: string | undefined;
  oemStrings: readonly string[];
  vsock: VsockState;
  /** The last path for each port. */
  readonly vsockPorts: Map<number, { readonly path: string; readonly listen: boolean }>;
  /** Undefined: every port that the guest listens at. */
  portMap: readonly (readonly [host: number, guest: number])[] | undefined;
  /** Network interfaces, in call order. */
  readonly interfaces: InterfaceOptions[];
  /** Whether any of them asked for a DHCP client. */
  dhcp: boolean;
  /** The interface of the deprecated functions. */
  oldNet: { type: 'unixstream'; fd: number } | { type: 'unixgram'; path: string; vfkit: true } | undefined;
  oldNetMac: string;
  /** Made when it is asked for. */
  shutdown: WishPipe | undefined;
  uid: number | undefined;
  gid: number | undefined;
}

const contexts = new Map<number, Context>();
let nextId = 0;

/** A new context with upstream's defaults; its id is never used again. */
export function createContext(): number {
  const id = nextId++;
  contexts.set(id, {
    vcpus: 1,
    memoryMiB: 128,
    splitIrqchip: false,
    nested: false,
    shares: [],
    disks: [],
    oldRootDisk: undefined,
    oldDataDisk: undefined,
    rootDisk: undefined,
    implicitInit: true,
    exec: undefined,
    env: undefined,
    workdir: undefined,
    rlimits: [],
    implicitConsole: true,
    consoleOutput: undefined,
    consoles: [],
    serials: [],
    kernelConsole: undefined,
    kernel: undefined,
    firmware: undefined,
    oemStrings: [],
    vsock: 'implicit',
    vsockPorts: new Map(),
    portMap: undefined,
    interfaces: [],
    dhcp: false,
    oldNet: undefined,
    oldNetMac: '5a:94:ef:e4:0c:ee',
    shutdown: undefined,
    uid: undefined,
    gid: undefined,
  });
  return id;
}

/** Takes a context out of the table; undefined when there is none. */
export function removeContext(id: number): Context | undefined {
  const context = contexts.get(id);
  contexts.delete(id);
  return context;
}

/** Runs the checks of a function's arguments; what they refuse is -EINVAL, before any context is looked up. */
export function checking(body: () => number): number {
  try {
    return body();
  } catch (error) {
    if (error instanceof BadArgument) return -EINVAL;
    throw error;
  }
}

/** Applies a change to a context; 0, the change's own negative error, or -ENOENT without such a context. */
export function withContext(id: number, change: (context: Context) => number | undefined): number {
  const context = contexts.get(id);
  return context === undefined ? -ENOENT : (change(context) ?? 0);
}
