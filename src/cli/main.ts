import { readFileSync } from 'node:fs';
import { KrunError } from '../index.ts';
import { doctor } from './doctor.ts';
import { MAIN_HELP } from './help.ts';
import { kernel } from './kernel.ts';
import { run } from './run.ts';
import { UsageError } from './usage-error.ts';

const USAGE = 2;
const FAILED = 125;

/** The command line: dispatches, prints errors as one line and a hint, and ends the process with the right status. */
export async function main(args: readonly string[]): Promise<void> {
  const status = await dispatch(args).catch(reportError);
  // Standard input may still be open and would keep the process; what we wrote is flushed first.
  await Promise.all([flushed(process.stdout), flushed(process.stderr)]);
  process.exit(status);
}

async function dispatch([command, ...rest]: readonly string[]): Promise<number> {
  switch (command) {
    case 'run':
      return run(rest);
    case 'doctor':
      return doctor(rest);
    case 'kernel':
      return kernel(rest);
    case '--version':
    case '-V':
      process.stdout.write(`krun ${version()}\n`);
      return 0;
    case '--help':
    case '-h':
    case 'help':
      process.stdout.write(MAIN_HELP);
      return 0;
    case undefined:
      process.stderr.write(MAIN_HELP);
      return USAGE;
    default:
      throw new UsageError(`Cannot run "${command}": no such subcommand`);
  }
}

function reportError(error: unknown): number {
  if (error instanceof UsageError) {
    process.stderr.write(`krun: ${error.message}\nkrun: see krun --help, krun run --help\n`);
    return USAGE;
  }
  if (error instanceof KrunError) {
    process.stderr.write(`krun: ${error.message} (${error.code})\n`);
    if (error.hint !== undefined) process.stderr.write(`krun: ${error.hint}\n`);
    return FAILED;
  }
  process.stderr.write(`krun: ${error instanceof Error ? error.stack : String(error)}\n`);
  return FAILED;
}

function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    if (stream.destroyed || stream.writableLength === 0) resolve();
    else stream.write('', () => resolve());
  });
}
