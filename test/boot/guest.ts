import { spawnSync } from 'node:child_process';
import { type Exit, fetchKernel, KrunError, MicroVm, type MicroVmOptions } from 'krun';

/** A reason to skip tests that boot guests here, or false. */
export async function skipReason(): Promise<string | false> {
  try {
    await fetchKernel();
    return false;
  } catch (error) {
    if (error instanceof KrunError && error.code === 'ERR_KERNEL_OFFLINE') return 'no guest kernel, and no network';
    throw error;
  }
}

/** A reason to skip tests that need a pseudo-terminal of the host here, or false. */
export function noTerminalReason(): string | false {
  const { status, error } = spawnSync('python3', ['-c', 'import os; os.openpty()'], { stdio: 'ignore' });
  if (error !== undefined) return 'no python3, which opens the pseudo-terminal';
  return status === 0 ? false : 'no pseudo-terminal can be opened here';
}

/** What a guest left behind. */
export interface Result extends Exit {
  readonly stdout: string;
  readonly stderr: string;
}

/** Boots the host's own root, read-only, runs a command and collects everything. Options come over these defaults. */
export async function runGuest(
  options: Partial<MicroVmOptions> & Pick<MicroVmOptions, 'command'>,
  input?: string,
): Promise<Result> {
  const root = options.shares === undefined && options.rootDisk === undefined ? { root: '/', readOnly: true } : {};
  await using vm = await MicroVm.start({ ...root, memoryMiB: 256, timeoutMs: 120_000, ...options });
  const writing = (async () => {
    if (input !== undefined) await vm.stdin.write(input);
    vm.stdin.end();
  })();
  const [stdout, stderr, exit] = await Promise.all([vm.stdout.text(), vm.stderr.text(), vm.exited]);
  await writing.catch(() => {}); // a guest may be gone before it read everything
  return { ...exit, stdout, stderr };
}
