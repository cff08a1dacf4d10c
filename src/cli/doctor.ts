import { type Diagnosis, diagnose } from '../index.ts';
import { UsageError } from './usage-error.ts';

/** `krun doctor`: what this host can do, and why. Exit status 1 when a microVM could not run. */
export async function doctor(args: readonly string[]): Promise<number> {
  const json = flags('doctor', args, ['--json']).has('--json');
  const diagnosis = await diagnose();
  process.stdout.write(json ? `${JSON.stringify(diagnosis)}\n` : describe(diagnosis));
  return diagnosis.usable ? 0 : 1;
}

/** Which of the few known flags were given. @throws {UsageError} something else was */
export function flags(command: string, args: readonly string[], known: readonly string[]): ReadonlySet<string> {
  for (const arg of args) if (!known.includes(arg)) throw new UsageError(`Cannot use "${arg}" with krun ${command}`);
  return new Set(args);
}

function describe({ checks, usable }: Diagnosis): string {
  const width = Math.max(...checks.map(({ name }) => name.length));
  const lines = checks.map(({ name, ok, detail }) => `${ok ? 'ok  ' : 'no  '} ${name.padEnd(width)}  ${detail}`);
  return `${lines.join('\n')}\n\n${usable ? 'microVMs can run here' : 'microVMs cannot run here'}\n`;
}
