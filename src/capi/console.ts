import { kindOfDescriptor } from '../api/descriptors.ts';
import { type CString, int, text } from './arguments.ts';
import { checking, withContext } from './contexts.ts';
import { EINVAL } from './errno.ts';

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
      context.consoles.push({ input, output, error, descriptors });
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
