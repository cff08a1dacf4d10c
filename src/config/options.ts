import type { KernelFormat, OpenedFile } from './spec.ts';

export type { KernelFormat } from './spec.ts';

/** What a user asks for. Everything but the command has a default; `resolveConfig` checks it and fills it in. */
export interface MachineOptions {
  /** Host directory that becomes the guest's `/`; shorthand for a share with the root tag. */
  readonly root?: string;
  /** Whether the guest may change the root directory; enforced on the host. */
  readonly readOnly?: boolean;
  /** Program (absolute, or found through the guest's PATH) and its arguments. With `kernel.path` or `bios` it may be left out. */
  readonly command?: readonly string[];
  /** Variables of the guest's environment, over a small default one. */
  readonly env?: Readonly<Record<string, string>> | readonly string[];
  /** Absolute directory in the guest; default `/`. */
  readonly workdir?: string;
  readonly hostname?: string;
  /** Resource limits, each `ID=CUR:MAX` with Linux numbers. */
  readonly rlimits?: readonly string[];
  /** User and group of the process in the guest; default 0. */
  readonly user?: { readonly uid: number; readonly gid: number };
  /** Guest memory in MiB; default 512. */
  readonly memoryMiB?: number;
  /** Virtual CPUs; more than one need KVM. Default 1. */
  readonly vcpus?: number;
  /** The guest may use virtualisation itself. KVM only, where the host allows it; the software engine has none. */
  readonly nested?: boolean;
  /**
   * The software engine is exact everywhere: its compiled code keeps even what docs/quirks.md lists, and is slower for it.
   * Without effect on KVM. Default false.
   */
  readonly precise?: boolean;
  /** There is no PIC and no PIT; with KVM the I/O APIC is ours, and the local APICs are KVM's. */
  readonly splitIrqchip?: boolean;
  /** Host directories mounted in the guest. */
  readonly volumes?: readonly VolumeOptions[];
  /** File-sharing devices under tags of your own; the guest mounts them itself. */
  readonly shares?: readonly ShareOptions[];
  /** Disk images that the guest sees as `/dev/vda`, `/dev/vdb` and on, in this order. */
  readonly disks?: readonly DiskOptions[];
  /** A disk that becomes the guest's `/` before the command runs; there is no `root` then. */
  readonly rootDisk?: RootDiskOptions;
  /** The console of the command; false for none at all. */
  readonly console?: ConsoleOptions | false;
  /** Further consoles, in order of their devices. */
  readonly extraConsoles?: readonly (ConsoleOptions | PortConsoleOptions)[];
  /** Channels between host and guest, known by name on both sides; together they are one more console device. */
  readonly ports?: readonly (string | PortOptions)[];
  /** Serial ports (16550 UARTs), which a kernel with a driver for them knows as ttyS0, ttyS1 and on; at most four. */
  readonly serials?: readonly SerialOptions[];
  /** Whether the init program listens for the host's wish for an end (`shutdown`), on one more port of the first console; default true. */
  readonly shutdown?: boolean;
  readonly kernel?: KernelOptions;
  /** A host file with raw firmware (SeaBIOS, qboot) that runs from the reset vector in place of a kernel. */
  readonly bios?: string;
  /** SMBIOS type 11 strings, which the guest reads in `/sys/firmware/dmi` or by `dmidecode`. */
  readonly oemStrings?: readonly string[];
  /**
   * What the guest's own TCP and UDP sockets reach, through the host's, or network interfaces; default `none`.
   * `passt`: one interface, for which passt is started.
   */
  readonly network?: 'none' | 'passt' | NetworkOptions;
  /** The socket device between guest and host; false for none at all. */
  readonly vsock?: false | VsockOptions;
  /** Where guest instructions run; default `auto`. */
  readonly engine?: 'auto' | 'kvm' | 'soft';
}

/** A host directory at a place in the guest. */
export interface VolumeOptions {
  readonly hostPath: string;
  /** Absolute; the directory must exist in the guest's root. */
  readonly guestPath: string;
  readonly readOnly?: boolean;
}

/** One virtio-fs device. */
export interface ShareOptions {
  /** 1 to 36 bytes of UTF-8; the tag `/dev/root` makes it the root. */
  readonly tag: string;
  /** A host directory, or null for an empty file system that lives in overlay entries only. */
  readonly path: string | null;
  readonly readOnly?: boolean;
  /** Whether a root share gets the init program laid over it; default true. */
  readonly init?: boolean;
  readonly overlay?: readonly OverlayOptions[];
}

/** A file or block device of the host as a disk of the guest. */
export interface DiskOptions {
  readonly path: string;
  /** Default `raw`. Never guessed: a guest can write to its raw disk what looks like an image of another format. */
  readonly format?: 'raw' | 'qcow2' | 'vmdk';
  readonly readOnly?: boolean;
  /** Transfers go past the host's page cache (O_DIRECT). */
  readonly direct?: boolean;
  /** Whether data is on the host's disk when the guest's flush is done: `full` (default), or `none`; `relaxed` is `full` on Linux. */
  readonly sync?: 'none' | 'relaxed' | 'full';
  /** What the guest reads as the disk's serial, at most 20 bytes; default: numbers that tell the host's file from others. */
  readonly serial?: string;
  /** Files of the image that are open already, in a process that has given up the right to open them. @internal */
  readonly opened?: readonly OpenedFile[];
}

/** The file system that becomes the root. */
export interface RootDiskOptions {
  /** Default `/dev/vda`. */
  readonly device?: string;
  /** Such as `ext4`; default: the types that the guest's kernel knows are tried in turn. */
  readonly fileSystem?: string;
  /** As in fstab, such as `ro,noatime`. */
  readonly options?: string;
}

/** A virtual file or directory laid over a share; the host directory is not touched. */
export interface OverlayOptions {
  /** Path inside the share; one leading slash is ignored. */
  readonly path: string;
  /** The file's bytes; absent for a directory. */
  readonly data?: Uint8Array;
  /** Permission bits. */
  readonly mode: number;
  /** The name disappears after it was opened once. */
  readonly oneShot?: boolean;
}

/**
 * One virtio console and how its three standard streams reach the host: as parts of the guest's terminal, as separate
 * ports, or not at all. The first console carries the command's streams.
 */
export interface ConsoleOptions {
  readonly input?: StreamKind;
  readonly output?: StreamKind;
  readonly error?: StreamKind;
  /** Initial size of the terminal, when a stream is one. */
  readonly size?: { readonly columns: number; readonly rows: number };
  /** A host file, created or truncated, that receives a copy of what the console itself prints. */
  readonly logFile?: string;
  /** A host file, created or truncated, that takes the place of all three streams; there is no input then. */
  readonly outputFile?: string;
}

/** A console device with nothing but ports of your own: `/dev/vport*` in the guest, or consoles (hvc). */
export interface PortConsoleOptions {
  readonly ports: readonly PortOptions[];
}

/** One port; both directions are there unless said otherwise. */
export interface PortOptions {
  /** What the guest reads in `/sys/class/virtio-ports/<port>/name`; default: none. */
  readonly name?: string;
  readonly input?: boolean;
  readonly output?: boolean;
  /** Makes the port a console of the guest, with a window of this size (true: 80 by 24). */
  readonly terminal?: boolean | { readonly columns: number; readonly rows: number };
}

/** One serial port; both directions are there unless said otherwise. */
export interface SerialOptions {
  readonly input?: boolean;
  readonly output?: boolean;
  /** A host file, created or truncated, that receives a copy of what the guest sends. */
  readonly logFile?: string;
}

/** `terminal`: the console itself; `pipe` (default): a port of its own; `none`: absent. */
export type StreamKind = 'terminal' | 'pipe' | 'none';

/** Which kernel boots. */
export interface KernelOptions {
  /** A kernel of your own in a file of its own, such as `/boot/vmlinuz-6.1.0-56-cloud-amd64`; default: libkrunfw's. */
  readonly path?: string;
  /**
   * What that file is; default `auto`, which tells ELF files, bzImages and compressed ELF files apart. `raw` is loaded and
   * entered at 2 GiB as it is; the `image-` formats hold a compressed ELF file somewhere.
   */
  readonly format?: KernelFormat;
  /** A host file that this kernel finds as its initramfs. */
  readonly initramfs?: string;
  /** What this kernel is told in place of the default command line; words for devices and init are put behind it. */
  readonly cmdline?: string;
  /** A libkrunfw library; default: found by the kernel provider. */
  readonly firmware?: string;
  /** What replaces the value of the kernel's `console=` argument, for example `hvc1`. */
  readonly console?: string;
  /** Words put after the default command line. */
  readonly extraArguments?: readonly string[];
}

/**
 * The guest's Internet sockets become the host's. A rule is `HOST`, `HOST:PORT`, `HOST:LOW-HIGH` or `:PORT`, where HOST
 * is an address, a network (`10.0.0.0/8`), a name, a name with all below it (`*.example.com`), or `*`; an IPv6 address
 * stands in brackets when a port follows. With rules about names the guest's DNS queries are answered by the host's
 * resolvers, for names the rules allow; a name never stands for an address of this host or site.
 */
export interface NetworkOptions {
  /** What the guest may connect and send to; absent: everything. */
  readonly allow?: readonly string[];
  /** What it may not, whatever `allow` says. */
  readonly deny?: readonly string[];
  /**
   * Listening ports of the guest that the host offers: `{ '8080': 80 }` is port 80 of the guest at 127.0.0.1:8080;
   * `0.0.0.0:8080` and `[::]:8080` choose another address, `*:8080` the one the guest listens at. `all`: every port,
   * at the guest's own number and address. Default: none.
   */
  readonly ports?: 'all' | Readonly<Record<string, number>>;
  /** Addresses of DNS servers, `192.0.2.1` or `192.0.2.1:5353`; default: those of the host. */
  readonly dns?: readonly string[];
  /**
   * Kinds of the guest's sockets that become the host's; default `inet`, and none beside interfaces. `unix` opens every
   * unix socket of the host.
   */
  readonly families?: readonly ('inet' | 'unix')[];
  /**
   * Network interfaces: eth0, eth1 and on. The guest has a network of its own on them; rules do not reach there, and so
   * `allow`, `deny` and `dns` are refused unless `families` are named. `ports` are forwarded by the first passt.
   */
  readonly interfaces?: readonly InterfaceOptions[];
  /** Whether eth0 gets its address by DHCP before the command runs; default: true for passt and vfkit peers. */
  readonly dhcp?: boolean;
}

/** One network interface, and where it leads. */
export type InterfaceOptions =
  | PasstInterfaceOptions
  | StreamInterfaceOptions
  | DatagramInterfaceOptions
  | TapInterfaceOptions;

interface CommonInterfaceOptions {
  /** Such as `5a:94:ef:00:00:01`; default: a random one, and for vfkit peers the one that gvproxy expects. */
  readonly mac?: string;
  /**
   * Work on packets that guest and host may leave to each other, which large transfers gain much from. Only for a peer
   * that copes: sockets carry frames without a word about it. Default: all for passt and tap, none for other sockets.
   */
  readonly offloads?: 'all' | 'none' | readonly NetworkOffload[];
}

/** @spec VIRTIO-1.2 §5.1.3 */
export type NetworkOffload =
  | 'csum'
  | 'guest_csum'
  | 'guest_tso4'
  | 'guest_tso6'
  | 'guest_ufo'
  | 'host_tso4'
  | 'host_tso6'
  | 'host_ufo';

/** passt, started for this machine: TCP, UDP and ping through ordinary sockets of the host, without privileges. */
export interface PasstInterfaceOptions extends CommonInterfaceOptions {
  readonly type: 'passt';
  /** Whether the gateway's address leads to this host, its loopback included; default false. */
  readonly hostLoopback?: boolean;
  /** Default `passt`, looked up in PATH. */
  readonly program?: string;
  /** Further arguments for it. */
  readonly args?: readonly string[];
}

/** Frames over a stream socket, as QEMU's `-netdev stream`, passt and socket_vmnet speak: one of `path` and `fd`. */
export interface StreamInterfaceOptions extends CommonInterfaceOptions {
  readonly type: 'unixstream';
  readonly path?: string;
  /** A connected socket of this process, which the machine takes over and closes. */
  readonly fd?: number;
}

/** Frames as datagrams, as gvproxy and vmnet-helper speak: one of `path` and `fd`. Needs koffi. */
export interface DatagramInterfaceOptions extends CommonInterfaceOptions {
  readonly type: 'unixgram';
  readonly path?: string;
  /** A connected socket of this process, which the machine takes over and closes. */
  readonly fd?: number;
  /** Greets the peer at `path` as vfkit does, which gvproxy waits for. */
  readonly vfkit?: boolean;
}

/** A tap interface of the host. Needs koffi, and the right to use the interface. */
export interface TapInterfaceOptions extends CommonInterfaceOptions {
  readonly type: 'tap';
  readonly name: string;
}

export interface VsockOptions {
  readonly ports?: readonly VsockPortOptions[];
}

/** A vsock port joined to a unix socket of the host. */
export interface VsockPortOptions {
  readonly port: number;
  /** Path of the unix socket on the host. */
  readonly path: string;
  /** True: the host connects to the path and reaches the guest's port; false: the guest connects to the port. */
  readonly listen?: boolean;
}
