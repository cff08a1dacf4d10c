import { checkArray, checkBoolean, checkChoice, checkKeys, checkText, refuse } from './checks.ts';
import type { ConsoleOptions, MachineOptions, PortConsoleOptions, StreamKind } from './options.ts';
import { resolveNamedPorts, resolvePorts } from './ports.ts';
import type { ConsoleSpec, PortSpec } from './spec.ts';
import { resolveSize } from './window.ts';

/** Where the init program listens to the host. */
export const CONTROL_PORT = 'krun-control';
const KINDS: readonly StreamKind[] = ['terminal', 'pipe', 'none'];

/** All virtio-console devices in order: the command's, the further ones, the one of the named ports. */
export function resolveConsoles({ console, extraConsoles, ports, shutdown = true }: MachineOptions): ConsoleSpec[] {
  const first = console === false ? [] : [resolveConsole(console ?? {}, 'console')];
  const further = checkArray('extraConsoles', extraConsoles);
  const all = [
    ...first,
    ...further.map((item, index) => resolveAny(item, `extraConsoles[${index}]`)),
    ...resolveNamedPorts(ports),
  ];
  return checkBoolean('shutdown', shutdown) ? withControl(all) : all;
}

/** The first console has the port behind its own ones: their places are what users know. */
function withControl([first, ...further]: readonly ConsoleSpec[]): ConsoleSpec[] {
  if (first === undefined) return [];
  const control: PortSpec = { name: CONTROL_PORT, input: 'control', output: 'none' };
  return [{ ...first, ports: [...first.ports, control] }, ...further];
}

function resolveAny(options: ConsoleOptions | PortConsoleOptions, what: string): ConsoleSpec {
  return typeof options === 'object' && options !== null && 'ports' in options
    ? resolvePorts(options, what)
    : resolveConsole(options, what);
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
    ...(isTerminal && { terminal: resolveSize(options.size, `${what}.size`) }),
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
