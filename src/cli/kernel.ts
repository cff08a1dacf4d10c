import { describeKernel, describeKernelFile, fetchKernel, type KernelFileReport, type KernelReport } from '../index.ts';
import { flags } from './doctor.ts';
import { progressBar } from './progress.ts';
import { UsageError } from './usage-error.ts';

/** `krun kernel`: which guest kernel would be used, and why, or what a file is. Fetches nothing unless told to. */
export async function kernel(args: readonly string[]): Promise<number> {
  const at = args.indexOf('--file');
  if (at >= 0) return file(args[at + 1], flags('kernel', args.toSpliced(at, 2), ['--json']).has('--json'));
  const given = flags('kernel', args, ['--json', '--fetch']);
  const report = given.has('--fetch') ? await fetch() : await describeKernel();
  process.stdout.write(given.has('--json') ? `${JSON.stringify(report)}\n` : describe(report));
  return 0;
}

async function file(path: string | undefined, json: boolean): Promise<number> {
  if (path === undefined) throw new UsageError('Cannot use --file: there is no file behind it');
  const report = await describeKernelFile(path);
  process.stdout.write(json ? `${JSON.stringify(report)}\n` : describeFile(report));
  return 0;
}

function describeFile({
  path,
  description,
  release,
  loadAddress,
  entryAddress,
  memoryBytes,
}: KernelFileReport): string {
  const lines = [
    `kernel   Linux ${release || '(release unknown)'}`,
    `file     ${path}`,
    `format   ${description}`,
    `image    ${memoryBytes} bytes at 0x${loadAddress.toString(16)}, entry 0x${entryAddress.toString(16)}`,
  ];
  return `${lines.join('\n')}\n`;
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
