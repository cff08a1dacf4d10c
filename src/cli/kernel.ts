import { describeKernel, type KernelReport } from '../index.ts';
import { wantsJson } from './doctor.ts';

/** `krun kernel`: which guest kernel would be used, and why. Fetches nothing. */
export async function kernel(args: readonly string[]): Promise<number> {
  const json = wantsJson('kernel', args);
  const report = await describeKernel();
  process.stdout.write(json ? `${JSON.stringify(report)}\n` : describe(report));
  return 0;
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
