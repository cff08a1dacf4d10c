/** A complete description of one machine: plain, frozen data that may cross threads. `resolveConfig` makes it. */
export interface MachineSpec {
  readonly engine: 'auto' | 'kvm' | 'soft';
  /** What the hypervisor is asked for. */
  readonly vm: { readonly memoryBytes: number; readonly vcpus: number };
  /** Only when it is asked for: compiled code is exact everywhere. */
  readonly precise?: true;
  /** Wishes that only KVM can fulfil. */
  readonly kvm?: { readonly nested: boolean; readonly splitIrqchip: boolean };
  readonly kernel: KernelSpec;
  /** Host path of firmware that runs in place of libkrunfw's kernel. */
  readonly bios?: string;
  /** SMBIOS's strings of the machine's owner. */
  readonly oemStrings: readonly string[];
  /** virtio-fs devices, in device order. */
  readonly shares: readonly ShareSpec[];
  /** virtio-blk devices, in device order: vda, vdb and on. */
  readonly disks: readonly DiskSpec[];
  /** A device of the guest that becomes its root in place of the root share. */
  readonly rootDisk?: RootDiskSpec;
  /** virtio-console devices, in device order. */
  readonly consoles: readonly ConsoleSpec[];
  /** Serial ports, COM1 and on. */
  readonly serials: readonly SerialSpec[];
  /** The socket device; absent: there is none. */
  readonly vsock?: VsockSpec;
  /** virtio-net devices, in device order: eth0, eth1 and on. */
  readonly interfaces: readonly InterfaceSpec[];
  /** Whether init configures eth0 by DHCP. */
  readonly dhcp: boolean;
  readonly workload: WorkloadSpec;
}

export interface KernelSpec {
  /** Host path of a libkrunfw library; absent: the kernel provider looks for one. */
  readonly firmware?: string;
  /** A kernel of the user's; absent: libkrunfw's. */
  readonly file?: KernelFileSpec;
  /** Replaces the value of `console=` on the default command line. */
  readonly console?: string;
  /** Words put after the default command line. */
  readonly extraArguments: readonly string[];
  /** Words that spare the guest work at boot; absent: the machine's own list; empty: upstream's exact line. */
  readonly tuning?: readonly string[];
}

/** What a kernel's file is. */
export type KernelFormat = 'auto' | 'raw' | 'elf' | 'pe-gz' | 'image-bz2' | 'image-gz' | 'image-zstd' | 'bzimage';

/** A kernel in a file of its own. */
export interface KernelFileSpec {
  readonly path: string;
  readonly format: KernelFormat;
  readonly initramfs?: string;
  /** In place of the default words and of the machine's tuning. */
  readonly commandLine?: string;
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

/** A disk image and how it is used. */
export interface DiskSpec {
  readonly path: string;
  /** What is in the file does not decide this. */
  readonly format: 'raw' | 'qcow2' | 'vmdk';
  readonly readOnly: boolean;
  /** Past the host's page cache. */
  readonly direct: boolean;
  /** What a guest's flush does; `none`: it has none. */
  readonly sync: 'none' | 'relaxed' | 'full';
  /** What the guest sees as the disk's serial; absent: numbers of the file on the host. */
  readonly serial?: string;
  /** Files of the image that this process has open already. */
  readonly opened?: readonly OpenedFile[];
}

/** An open file: how it was opened, and its descriptor, which stays the opener's. */
export interface OpenedFile {
  readonly path: string;
  /** Linux's. */
  readonly flags: number;
  readonly fd: number;
}

/** A file system on a disk that init mounts as `/`. */
export interface RootDiskSpec {
  /** Such as `/dev/vda`. */
  readonly device: string;
  /** Absent: every type that the guest's kernel knows is tried. */
  readonly fileSystem?: string;
  /** As in fstab. */
  readonly options?: string;
}

export interface ConsoleSpec {
  readonly ports: readonly PortSpec[];
  /** Whether all ports are the user's own; else port 0 is the console itself. */
  readonly multiport?: true;
  /** Initial size of port 0, when it is the console itself; absent: it is no terminal of the host. */
  readonly terminal?: WindowSpec;
  /** Host file that receives a copy of what port 0 prints. */
  readonly logFile?: string;
}

export interface PortSpec {
  /** Empty: the guest sees none. */
  readonly name: string;
  /** `interrupt`: only Ctrl-C that the host types. */
  /** `control`: what the host says to the init program. */
  readonly input: InputName | 'interrupt' | 'control' | 'none';
  readonly output: OutputName | 'none';
  /** One of the user's own ports is a console of the guest, with a window of this size. */
  readonly terminal?: WindowSpec;
}

/** Streams of one console or serial port; `port1` are those of its second port. */
export type InputName = 'stdin' | PortStream;
export type OutputName = 'stdout' | 'stderr' | 'log' | PortStream;
export type PortStream = `port${number}`;

/** Characters in a window. */
export interface WindowSpec {
  readonly columns: number;
  readonly rows: number;
}

/** A 16550 UART. */
export interface SerialSpec {
  readonly input: boolean;
  readonly output: boolean;
  /** Host file that receives a copy of what the guest sends. */
  readonly logFile?: string;
}

/** The process the machine exists for: what the init program is told. */
export interface WorkloadSpec {
  /** Program and arguments. */
  readonly command: readonly string[];
  /** Complete: nothing is added in the guest. */
  readonly env: Readonly<Record<string, string>>;
  readonly workdir: string;
  readonly hostname: string | undefined;
  readonly rlimits: readonly RlimitSpec[];
  readonly user: { readonly uid: number; readonly gid: number } | undefined;
  readonly mounts: readonly MountSpec[];
}

/** A limit by its Linux number. */
export interface RlimitSpec {
  readonly resource: number;
  readonly soft: bigint;
  readonly hard: bigint;
}

/** A share that the init program mounts. */
export interface MountSpec {
  readonly tag: string;
  /** Absolute path in the guest. */
  readonly path: string;
  readonly readOnly: boolean;
}

/** virtio-vsock, and what the guest's own sockets reach through it. */
export interface VsockSpec {
  /** Families of sockets that the guest's kernel hands to the host. */
  readonly tsi: { readonly inet: boolean; readonly unix: boolean };
  readonly egress: EgressSpec;
  /** Listening ports of the guest on the host. */
  readonly ports: 'all' | readonly PublishedPortSpec[];
  /** DNS servers; absent: those of the host. */
  readonly resolvers?: readonly { readonly address: string; readonly port: number }[];
  readonly unixPorts: readonly UnixPortSpec[];
}

/** Where the guest may connect and send to: what `deny` names never, what `allow` names, or all without it. */
export interface EgressSpec {
  readonly allow?: readonly EgressRuleSpec[];
  readonly deny: readonly EgressRuleSpec[];
}

export interface EgressRuleSpec {
  readonly host:
    | { readonly kind: 'any' }
    | { readonly kind: 'name'; readonly name: string; readonly subdomains: boolean }
    | { readonly kind: 'network'; readonly bytes: readonly number[]; readonly prefix: number };
  /** Both ends included. */
  readonly ports: { readonly from: number; readonly to: number };
}

export interface PublishedPortSpec {
  readonly hostPort: number;
  readonly guestPort: number;
  /** Absent: the address that the guest listens at. */
  readonly address?: string;
}

/** A network interface and where it leads. */
export interface InterfaceSpec {
  /** Six pairs of hexadecimal digits with colons; absent: a random one. */
  readonly mac?: string;
  /** Offloads that are offered: bits of VIRTIO-1.2 §5.1.3. */
  readonly features: number;
  readonly backend:
    | PasstSpec
    | { readonly kind: 'unixstream'; readonly path: string }
    | { readonly kind: 'unixstream'; readonly fd: number }
    | { readonly kind: 'unixgram'; readonly path: string; readonly vfkit: boolean }
    | { readonly kind: 'unixgram'; readonly fd: number }
    | { readonly kind: 'tap'; readonly name: string };
}

/** A passt that is started for the machine. */
export interface PasstSpec {
  readonly kind: 'passt';
  readonly program: string;
  /** Behind our own. */
  readonly args: readonly string[];
  readonly hostLoopback: boolean;
  readonly ports: 'all' | readonly PublishedPortSpec[];
}

/** A vsock port and a unix socket of the host; `listen`: the host connects, else the guest does. */
export interface UnixPortSpec {
  readonly port: number;
  readonly path: string;
  readonly listen: boolean;
}
