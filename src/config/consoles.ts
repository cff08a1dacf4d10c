import { checkArray, checkChoice, checkInteger, checkKeys, checkText, refuse } from './checks.ts';
import type { ConsoleOptions, MachineOptions, StreamKind } from './options.ts';
import type { ConsoleSpec, PortSpec } from './spec.ts';

const KINDS: readonly StreamKind[] = ['terminal', 'pipe', 'none'];
const SIZE_MAX = 0xffff;

/** All virtio-console devices in order: the command's, then the further ones. */
export function resolveConsoles({ console, extraConsoles }: MachineOptions): ConsoleSpec[] {
  const first = console === false ? [] : [resolveConsole(console ?? {}, 'console')];
  const further = checkArray('extraConsoles', extraConsoles);
  return [...first, ...further.map((item, index) => resolveConsole(item, `extraConsoles[${index}]`))];
}

/**
 * The ports that upstream makes of three streams: what is a terminal is the console itself, what is not gets a port that
 * the init program knows by name, and a console without a terminal has only its log and the interrupt character.
 */
function resolveConsole(options: ConsoleOptions, what: string): ConsoleSpec {
  checkKeys(what, options, ['input', 'output', 'error', 'size', 'logFile', 'outputFile']);
  const { logFile, outputFile } = options;
  if (outputFile !== undefined) return intoFile(checkText(`${what}.outputFile`, outputFile), options, what);
  const input = checkChoice(`${what}.input`, options.input ?? 'pipe', KINDS);
  const output = checkChoice(`${what}.output`, options.output ?? 'pipe', KINDS);
  const error = checkChoice(`${what}.error`, options.error ?? 'pipe', KINDS);
  const ports: PortSpec[] = [
    { name: '', input: input === 'terminal' ? 'stdin' : 'interrupt', output: output === 'terminal' ? 'stdout' : 'log' },
  ];
  if (input === 'pipe') ports.push({ name: 'krun-stdin', input: 'stdin', output: 'none' });
  if (output === 'pipe') ports.push({ name: 'krun-stdout', input: 'none', output: 'stdout' });
  if (error === 'pipe') ports.push({ name: 'krun-stderr', input: 'none', output: 'stderr' });
  const isTerminal = [input, output, error].includes('terminal');
  return {
    ports,
    ...(isTerminal && { terminal: resolveSize(options, what) }),
    ...(logFile !== undefined && { logFile: checkText(`${what}.logFile`, logFile) }),
  };
}

/** One file for everything, no input: what upstream does with a console output path. */
function intoFile(file: string, { input, output, error, logFile }: ConsoleOptions, what: string): ConsoleSpec {
  if (input !== undefined || output !== undefined || error !== undefined || logFile !== undefined) {
    refuse(what, 'outputFile takes the place of input, output, error and logFile');
  }
  return { ports: [{ name: '', input: 'none', output: 'log' }], logFile: file };
}

function resolveSize({ size }: ConsoleOptions, what: string): { columns: number; rows: number } {
  return {
    columns: checkInteger(`${what}.size.columns`, size?.columns ?? 80, 0, SIZE_MAX),
    rows: checkInteger(`${what}.size.rows`, size?.rows ?? 24, 0, SIZE_MAX),
  };
}
