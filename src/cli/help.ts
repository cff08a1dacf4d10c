/** What `krun --help` prints. */
export const MAIN_HELP = `krun: runs a command in its own Linux microVM

Usage:
  krun run [OPTIONS] -- COMMAND...   run a command
  krun doctor [--json]               what this host can do, and why
  krun kernel [--json] [--fetch]     which guest kernel would be used, and why; fetch it if there is none
  krun kernel [--json] --file FILE   what a kernel of your own is
  krun --version
  krun --help, krun run --help
`;

/** What `krun run --help` prints. */
export const RUN_HELP = `Usage: krun run [OPTIONS] -- COMMAND...

Runs COMMAND in a microVM and ends with its exit code: 128 + N when signal N killed it, 124 after --timeout,
125 when the microVM failed, 126 and 127 when COMMAND cannot be run or found.

  --root DIR               host directory that becomes the guest's / (default: /, read-only)
  --read-only              the guest cannot change the root directory
  -v, --volume HOST:GUEST[:ro]
                           host directory at a place in the guest; may be repeated
  -d, --disk FILE[:raw|qcow2|vmdk][:ro]
                           disk image or block device as /dev/vda, the next as /dev/vdb, ...; raw unless said otherwise
  --root-disk DEVICE[:TYPE[:OPTIONS]]
                           the guest's / is on this disk, as in /dev/vda:ext4:noatime; there is no --root then
  --network none|all|RULE,...
                           what TCP and UDP reach (default: none): names, *.names, addresses and networks, each with
                           an optional :PORT; a rule after "!" forbids; may be repeated
  --net KIND[,OPTION...]   a network interface, eth0 and on: passt (started for the machine), unix:PATH or unixgram:PATH
                           (frames over a socket; fd=N for an open one), tap:NAME. Options: mac=ADDRESS, dhcp, no-dhcp,
                           offloads=all|none, vfkit (unixgram), host-loopback and arg=WORD (passt); may be repeated
  -p, --publish [ADDRESS:]HOST:GUEST
                           a port of the guest at a port of the host (at 127.0.0.1); may be repeated
  --vsock PORT:PATH[:listen]
                           vsock port joined to a unix socket of the host, where the guest connects, or (listen) the
                           host; may be repeated
  -m, --memory MIB         guest memory, also as 512M or 2G (default: 512)
  --cpus N                 virtual CPUs (default: 1)
  -e, --env K=V            variable of the guest's environment; K alone takes the host's value; may be repeated
  -w, --workdir DIR        working directory in the guest (default: /)
  --hostname NAME
  --timeout S              stop after so many seconds
  --console FILE           write the kernel's console to FILE
  --console-port NAME=[INPUT:]OUTPUT
                           a port of the guest with a name (/sys/class/virtio-ports/*/name), joined to files or pipes;
                           a terminal in place of OUTPUT is both and a console of the guest; may be repeated
  --serial [INPUT:]OUTPUT  a serial port (the first is COM1, ttyS0), likewise; may be repeated
  --engine auto|kvm|soft   where guest instructions run (default: auto)
  --firmware FILE          the libkrunfw library that holds the kernel
  --kernel FILE            a kernel of your own: a bzImage as in /boot, an ELF file, or a compressed one; COMMAND may be
                           left out then, and the serial port is joined to standard input and output
  --kernel-format auto|raw|elf|image-bz2|image-gz|image-zstd|bzimage
                           what that file is (default: auto)
  --initrd FILE            its initramfs
  --append TEXT            its command line, in place of the default one; devices are added to it
  --bios FILE              raw firmware, such as SeaBIOS's bios.bin, in place of a kernel
  --oem-string TEXT        SMBIOS string of the owner (type 11); may be repeated
  --no-tty                 separate streams even on a terminal
  --json                   collect the output and print one JSON object
  -h, --help
`;
