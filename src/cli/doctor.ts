import { type Diagnosis, diagnose } from '../index.ts';
import { UsageError } from './usage-error.ts';

/** `krun doctor`: what this host can do, and why. Exit status 1 when a microVM could not run. */
export async function doctor(args: readonly string[]): Promise<number> {
  const json = wantsJson('doctor', args);
  const diagnosis = await diagnose();
  process.stdout.write(json ? `${JSON.stringify(diagnosis)}\n` : describe(diagnosis));
  return diagnosis.usable ? 0 : 1;
}

/** The one option that the informing subcommands share. */
export function wantsJson(command: string, args: readonly string[]): boolean {
  for (const arg of args) if (arg !== '--json') throw new UsageError(`Cannot use "${arg}" with krun ${command}`);
  return args.includes('--json');
}

function describe({ checks, usable }: Diagnosis): string {
  const width = Math.max(...checks.map(({ name }) => name.length));
  const lines = checks.map(({ name, ok, detail }) => `${ok ? 'ok  ' : 'no  '} ${name.padEnd(width)}  ${detail}`);
  return `${lines.join('\n')}\n\n${usable ? 'microVMs can run here' : 'microVMs cannot run here'}\n`;
}
