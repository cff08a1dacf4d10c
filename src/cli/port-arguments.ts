import { closeSync, constants, fstatSync, openSync, statSync } from 'node:fs';
import { isatty } from 'node:tty';
import { type Attachment, attachPort, type MicroVm, type MicroVmOptions } from '../index.ts';
import { UsageError } from './usage-error.ts';

const { O_CREAT, O_NOCTTY, O_NONBLOCK, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } = constants;

export const PORT_OPTIONS = {
  'console-port': { type: 'string', multiple: true },
  serial: { type: 'string', multiple: true },
} as const;

/** Host files at the two ends of a port; a terminal is both. */
export interface PortEnds {
  /** Absent for a serial port. */
  readonly name?: string;
  readonly input?: string;
  readonly output: string;
}

/** Reads `--console-port NAME=[INPUT:]OUTPUT` and `--serial [INPUT:]OUTPUT`. */
export function parsePorts(values: {
  readonly 'console-port'?: readonly string[];
  readonly serial?: readonly string[];
}): PortEnds[] {
  const ports = (values['console-port'] ?? []).map((text) => {
    const at = text.indexOf('=');
    if (at < 1) throw new UsageError(`Cannot use --console-port ${text}: expected NAME=[INPUT:]OUTPUT`);
    return { name: text.slice(0, at), ...parseEnds('--console-port', text, text.slice(at + 1)) };
  });
  return [...ports, ...(values.serial ?? []).map((text) => parseEnds('--serial', text, text))];
}

function parseEnds(option: string, text: string, ends: string): { input?: string; output: string } {
  const at = ends.indexOf(':');
  const [input, output] = at < 0 ? [undefined, ends] : [ends.slice(0, at), ends.slice(at + 1)];
  if (output === '' || input === '') throw new UsageError(`Cannot use ${option} ${text}: a path is empty`);
  return input === undefined ? { output } : { input, output };
}

/** The ports' files, open. */
export interface OpenPorts {
  /** What of the machine they need. */
  readonly options: Pick<MicroVmOptions, 'ports' | 'serials'>;
  /** Joins them to the machine. */
  attach(vm: MicroVm): Attachment[];
  close(): void;
}

/** Opens the ports' files: outputs are created or truncated. @throws {UsageError} one that cannot be opened */
export function openPorts(list: readonly PortEnds[]): OpenPorts {
  const open = list.map(openEnds);
  const ports = open.flatMap(({ name, input, output, terminal }) =>
    name === undefined ? [] : [{ name, input: input >= 0, output: output >= 0, terminal }],
  );
  const serials = open.filter(({ name }) => name === undefined).map(({ input }) => ({ input: input >= 0 }));
  const attach = (vm: MicroVm): Attachment[] => {
    let serial = 0;
    return open.flatMap((ends) => {
      const port = ends.name === undefined ? vm.serials[serial++] : vm.ports.get(ends.name);
      return port === undefined ? [] : [attachPort(port, ends)];
    });
  };
  return {
    options: { ...(ports.length > 0 && { ports }), ...(serials.length > 0 && { serials }) },
    attach,
    close: () => {
      for (const fd of new Set(open.flatMap(({ input, output }) => [input, output]))) if (fd >= 0) closeSync(fd);
    },
  };
}

function openEnds({ name, input, output }: PortEnds) {
  const out = openEnd(output, O_WRONLY | O_CREAT | O_TRUNC);
  const terminal = input === undefined && isatty(out);
  const inFd = terminal ? out : input === undefined ? -1 : openEnd(input, O_RDONLY);
  return { name, input: inFd, output: out, terminal };
}

/** A named pipe is opened for both directions: neither waits for its other end, nor ends with it. */
function openEnd(path: string, flags: number): number {
  try {
    const stat = statSync(path, { throwIfNoEntry: false });
    const special = stat?.isFIFO() || stat?.isCharacterDevice();
    const fd = openSync(path, special ? O_RDWR | O_NONBLOCK | O_NOCTTY : flags, 0o644);
    if (!fstatSync(fd).isDirectory()) return fd;
    closeSync(fd);
    throw new Error('it is a directory');
  } catch (error) {
    throw new UsageError(`Cannot use ${path} for a port: ${(error as Error).message}`);
  }
}
