import { describeKernel, fetchKernel, type KernelReport } from '../index.ts';
import { flags } from './doctor.ts';
import { progressBar } from './progress.ts';

/** `krun kernel`: which guest kernel would be used, and why. Fetches nothing unless told to. */
export async function kernel(args: readonly string[]): Promise<number> {
  const given = flags('kernel', args, ['--json', '--fetch']);
  const report = given.has('--fetch') ? await fetch() : await describeKernel();
  process.stdout.write(given.has('--json') ? `${JSON.stringify(report)}\n` : describe(report));
  return 0;
}

async function fetch(): Promise<KernelReport> {
  const progress = progressBar(process.stderr);
  try {
    return await fetchKernel({ onProgress: progress.show });
  } finally {
    progress.done();
  }
}

function describe({ path, release, why, loadAddress, entryAddress, sizeBytes, candidates }: KernelReport): string {
  const hex = (value: number | undefined): string => `0x${(value ?? 0).toString(16)}`;
  const head =
    path === undefined
      ? ['kernel   none yet', `why      ${why}`]
      : [
          `kernel   Linux ${release}`,
          `file     ${path}`,
          `why      ${why}`,
          `image    ${sizeBytes} bytes at ${hex(loadAddress)}, entry ${hex(entryAddress)}`,
        ];
  const looked = candidates.map(({ source, path: where, state }) => `  ${source.padEnd(8)} ${where}: ${state}`);
  return `${[...head, 'looked at:', ...looked].join('\n')}\n`;
}
