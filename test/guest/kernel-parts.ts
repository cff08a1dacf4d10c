import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { lz4 } from '../../dist/boot/kernel-file/lz4.js';
import { parseBzImage } from '../../dist/boot/kernel-file/bzimage.js';

/** A Debian cloud kernel with its modules, and a static shell for its initramfs. */
export interface DebianKernel {
  readonly path: string;
  readonly release: string;
  /** An initramfs whose `/init` is this script, run by busybox, with these modules in `/`. */
  initramfs(script: string, modules?: readonly string[]): Uint8Array;
  /** The ELF file that the image holds. */
  vmlinux(): Uint8Array;
}

const BUSYBOX = '/bin/busybox';

/** Words without which this kernel tests its own cryptography for a minute of interpreted instructions. */
export const QUICK =
  'quiet panic=-1 reboot=k cryptomgr.notests=1 mitigations=off init_on_alloc=0 ' +
  'initcall_blacklist=jent_mod_init,load_system_certificate_list,bpf_tcp_ca_kfunc_init,bpf_dummy_struct_ops_init';

/** The newest such kernel below KRUN_TEST_KERNEL_ROOT (default /), or the reason why there is none. */
export function debianKernel(): DebianKernel | string {
  const top = process.env['KRUN_TEST_KERNEL_ROOT'] ?? '/';
  const boot = join(top, 'boot');
  const names = existsSync(boot) ? readdirSync(boot).filter((name) => /^vmlinuz-.*-cloud-amd64$/.test(name)) : [];
  const name = names.sort().at(-1);
  if (name === undefined) return 'no Debian package linux-image-cloud-amd64, whose kernel is booted';
  if (!existsSync(BUSYBOX)) return 'no Debian package busybox-static, which is the initramfs';
  const release = name.slice('vmlinuz-'.length);
  const path = join(boot, name);
  const folder = join(top, 'lib/modules', release, 'kernel');
  return {
    path,
    release,
    initramfs: (script, modules = []) =>
      cpio([
        ...['bin', 'dev', 'proc', 'sys', 'newroot'].map((directory) => ({ path: directory, mode: 0o40755 })),
        { path: 'bin/busybox', mode: 0o100755, data: readFileSync(BUSYBOX) },
        { path: 'init', mode: 0o100755, data: Buffer.from(script) },
        ...modules.map((file) => ({
          path: file.replace(/.*\//, ''),
          mode: 0o100644,
          data: readFileSync(join(folder, file)),
        })),
      ]),
    vmlinux: () => lz4(parseBzImage(readFileSync(path)).payload),
  };
}

interface Entry {
  readonly path: string;
  readonly mode: number;
  readonly data?: Uint8Array;
}

/** An archive as the kernel unpacks it. @spec LINUX-INITRAMFS "newc" */
function cpio(entries: readonly Entry[]): Uint8Array {
  const parts: Uint8Array[] = [];
  [...entries, { path: 'TRAILER!!!', mode: 0 } as Entry].forEach(({ path, mode, data = new Uint8Array() }, index) => {
    const fields = [index + 1, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, path.length + 1, 0];
    const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}${path}\0`;
    for (const part of [Buffer.from(header), data]) {
      parts.push(part, new Uint8Array((4 - (part.length % 4)) % 4));
    }
  });
  return Buffer.concat(parts);
}
