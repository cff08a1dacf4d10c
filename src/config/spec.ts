/** A complete description of one machine: plain, frozen data that may cross threads. `resolveConfig` makes it. */
export interface MachineSpec {
  readonly engine: 'auto' | 'kvm' | 'soft';
  /** What the hypervisor is asked for. */
  readonly vm: { readonly memoryBytes: number; readonly vcpus: number };
  readonly kernel: KernelSpec;
  /** virtio-fs devices, in device order. */
  readonly shares: readonly ShareSpec[];
  /** virtio-console devices, in device order. */
  readonly consoles: readonly ConsoleSpec[];
  readonly workload: WorkloadSpec;
}

export interface KernelSpec {
  /** Host path of a libkrunfw library; absent: the kernel provider looks for one. */
  readonly firmware?: string;
  /** Replaces the value of `console=` on the default command line. */
  readonly console?: string;
  /** Words put after the default command line. */
  readonly extraArguments: readonly string[];
}

/** A host directory, or nothing but an overlay, under a tag. */
export interface ShareSpec {
  readonly tag: string;
  /** Absolute host path; null: an empty file system. */
  readonly path: string | null;
  readonly readOnly: boolean;
  /** Whether the init program and its configuration are laid over it. */
  readonly init: boolean;
  readonly overlay: readonly OverlaySpec[];
}

/** A virtual file (with data) or directory (without). */
export interface OverlaySpec {
  /** Relative to the share's top. */
  readonly path: string;
  readonly data?: Uint8Array;
  /** Permission bits. */
  readonly mode: number;
  readonly oneShot: boolean;
}

/** Port 0 is the console itself. */
export interface ConsoleSpec {
  readonly ports: readonly PortSpec[];
  /** Initial terminal size; absent: the console is no terminal of the host. */
  readonly terminal?: { readonly columns: number; readonly rows: number };
  /** Host file that receives a copy of what port 0 prints. */
  readonly logFile?: string;
}

export interface PortSpec {
  /** Empty for the console itself. */
  readonly name: string;
  /** `interrupt`: only Ctrl-C that the host types. */
  readonly input: 'stdin' | 'interrupt' | 'none';
  readonly output: 'stdout' | 'stderr' | 'log' | 'none';
}

/** The process the machine exists for. */
export interface WorkloadSpec {
  readonly command: readonly string[];
  /** `NAME=value`, complete: nothing is added. */
  readonly env: readonly string[];
  readonly workdir: string;
  readonly hostname?: string;
  readonly rlimits: readonly string[];
  readonly user?: { readonly uid: number; readonly gid: number };
  readonly mounts: readonly MountSpec[];
}

/** A share that the init program mounts. */
export interface MountSpec {
  readonly tag: string;
  /** Absolute path in the guest. */
  readonly path: string;
  readonly readOnly: boolean;
}
