import { checkArray, checkBoolean, checkKeys, checkText, refuse } from './checks.ts';
import type { MachineOptions, PortConsoleOptions, PortOptions, SerialOptions } from './options.ts';
import type { ConsoleSpec, PortSpec, SerialSpec } from './spec.ts';
import { resolveSize } from './window.ts';

/** Each port has two queues of a device. */
const PORTS_MAX = 64;
/** The guest's driver takes a name out of a buffer of one page. */
const NAME_BYTES_MAX = 255;
const SERIALS_MAX = 4;

/** A console device of the user's own ports. */
export function resolvePorts(options: PortConsoleOptions, what: string): ConsoleSpec {
  checkKeys(what, options, ['ports']);
  const list = checkArray(`${what}.ports`, options.ports);
  if (list.length === 0) refuse(what, 'a console has at least one port');
  if (list.length > PORTS_MAX) refuse(what, `${list.length} ports, and a console has at most ${PORTS_MAX}`);
  const ports = list.map((port, index) => resolvePort(port, index, `${what}.ports[${index}]`));
  return { ports, multiport: true };
}

/** The device of the ports that are known by name; none without such ports. */
export function resolveNamedPorts(ports: MachineOptions['ports']): ConsoleSpec[] {
  const list = checkArray('ports', ports).map((port) => (typeof port === 'string' ? { name: port } : port));
  if (list.length === 0) return [];
  const seen = new Set<string>();
  const spec = resolvePorts({ ports: list }, 'the options');
  for (const { name } of spec.ports) {
    if (name === '') refuse('ports', 'a port has no name');
    if (seen.has(name)) refuse('ports', `two ports have the name "${name}"`);
    seen.add(name);
  }
  return [spec];
}

function resolvePort(port: PortOptions, index: number, what: string): PortSpec {
  checkKeys(what, port, ['name', 'input', 'output', 'terminal']);
  const { name = '', terminal = false } = port;
  checkText(`${what}.name`, name, { empty: true });
  if (new TextEncoder().encode(name).length > NAME_BYTES_MAX)
    refuse(`${what}.name`, `it has more than ${NAME_BYTES_MAX} bytes`);
  const stream = `port${index}` as const;
  const size = typeof terminal === 'object' ? terminal : checkBoolean(`${what}.terminal`, terminal) ? {} : undefined;
  return {
    name,
    input: checkBoolean(`${what}.input`, port.input ?? true) ? stream : 'none',
    output: checkBoolean(`${what}.output`, port.output ?? true) ? stream : 'none',
    ...(size !== undefined && { terminal: resolveSize(size, `${what}.terminal`) }),
  };
}

/** Serial ports, COM1 and on. */
export function resolveSerials({ serials }: MachineOptions): SerialSpec[] {
  const list = checkArray('serials', serials);
  if (list.length > SERIALS_MAX) refuse('serials', `${list.length} of them, and a PC has at most ${SERIALS_MAX}`);
  return list.map((serial, index) => resolveSerial(serial, `serials[${index}]`));
}

function resolveSerial(serial: SerialOptions, what: string): SerialSpec {
  checkKeys(what, serial, ['input', 'output', 'logFile']);
  const { input = true, output = true, logFile } = serial;
  return {
    input: checkBoolean(`${what}.input`, input),
    output: checkBoolean(`${what}.output`, output),
    ...(logFile !== undefined && { logFile: checkText(`${what}.logFile`, logFile) }),
  };
}
