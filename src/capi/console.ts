import { kindOfDescriptor } from '../api/descriptors.ts';
import { type CString, int, text, textOrNull } from './arguments.ts';
import { checking, type Context, type PortConsole, withContext } from './contexts.ts';
import { EINVAL, ENOTTY } from './errno.ts';

/** The machine gets no console but those that are added. */
export function krun_disable_implicit_console(ctx_id: number): number {
  return withContext(ctx_id, (context) => {
    context.implicitConsole = false;
    return 0;
  });
}

/** The implicit console writes to this file, created or truncated at the start, and reads nothing. Once only. */
export function krun_set_console_output(ctx_id: number, filepath: CString): number {
  return checking(() => {
    const path = text(filepath);
    return withContext(ctx_id, (context) => {
      if (context.consoleOutput !== undefined) return -EINVAL;
      context.consoleOutput = path;
      return 0;
    });
  });
}

/** Adds a console on three descriptors; a negative one means that this stream is absent. */
export function krun_add_virtio_console_default(
  ctx_id: number,
  input_fd: number,
  output_fd: number,
  err_fd: number,
): number {
  return checking(() => {
    const descriptors = [int(input_fd), int(output_fd), int(err_fd)] as const;
    return withContext(ctx_id, (context) => {
      const [input, output, error] = [
        kindOfDescriptor(input_fd),
        kindOfDescriptor(output_fd),
        kindOfDescriptor(err_fd),
      ];
      context.consoles.push({ kind: 'default', options: { input, output, error }, descriptors });
      return 0;
    });
  });
}

/** Adds a console without ports; returns its number among all that were added. One without ports at the start is -EINVAL there. */
export function krun_add_virtio_console_multiport(ctx_id: number): number {
  return withContext(ctx_id, ({ consoles }) => consoles.push({ kind: 'multiport', ports: [] }) - 1);
}

/** Adds a port that is a terminal of the guest's. -ENOTTY when the descriptor is none, -EINVAL when the console is none of ports. */
export function krun_add_console_port_tty(ctx_id: number, console_id: number, name: CString, tty_fd: number): number {
  return checking(() => {
    const fd = int(tty_fd);
    if (fd < 0) return -EINVAL;
    const port = { name: textOrNull(name) ?? '', terminal: true, input: fd, output: fd };
    if (kindOfDescriptor(fd) !== 'terminal') return -ENOTTY;
    return withContext(ctx_id, (context) => addPort(context, console_id, port));
  });
}

/** Adds a port of two descriptors; a negative one means that this direction is absent. */
export function krun_add_console_port_inout(
  ctx_id: number,
  console_id: number,
  name: CString,
  input_fd: number,
  output_fd: number,
): number {
  return checking(() => {
    const port = { name: textOrNull(name) ?? '', terminal: false, input: int(input_fd), output: int(output_fd) };
    return withContext(ctx_id, (context) => addPort(context, console_id, port));
  });
}

function addPort({ consoles }: Context, console_id: number, port: PortConsole['ports'][number]): number {
  const console = consoles[console_id];
  if (console?.kind !== 'multiport') return -EINVAL;
  console.ports.push(port);
  return 0;
}

/** Adds a serial port, the first one at 0x3f8; a negative descriptor means that this direction is absent. */
export function krun_add_serial_console_default(ctx_id: number, input_fd: number, output_fd: number): number {
  return checking(() => {
    const serial = { input: int(input_fd), output: int(output_fd) };
    return withContext(ctx_id, ({ serials }) => {
      serials.push(serial);
      return 0;
    });
  });
}

/** Replaces the value of the kernel's first `console=` argument. */
export function krun_set_kernel_console(ctx_id: number, console_id: CString): number {
  return checking(() => {
    const id = text(console_id);
    return withContext(ctx_id, (context) => {
      context.kernelConsole = id;
      return 0;
    });
  });
}
