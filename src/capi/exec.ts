import { type CString, text, texts } from './arguments.ts';
import { checking, withContext } from './contexts.ts';

/** The program to run. `argv` does not repeat the program's name; NULL `envp` means this process's environment. */
export function krun_set_exec(
  ctx_id: number,
  exec_path: CString,
  argv: readonly CString[] | null,
  envp: readonly CString[] | null,
): number {
  return checking(() => {
    const path = text(exec_path);
    const args = argv === null ? [] : texts(argv);
    const env = envp === null ? undefined : texts(envp);
    return withContext(ctx_id, (context) => {
      context.exec = { path, args };
      context.env = env;
      return 0;
    });
  });
}

/** Replaces the environment only; NULL means this process's. */
export function krun_set_env(ctx_id: number, envp: readonly CString[] | null): number {
  return checking(() => {
    const env = envp === null ? undefined : texts(envp);
    return withContext(ctx_id, (context) => {
      context.env = env;
      return 0;
    });
  });
}

/** The program's working directory in the guest. */
export function krun_set_workdir(ctx_id: number, workdir_path: CString): number {
  return checking(() => {
    const path = text(workdir_path);
    return withContext(ctx_id, (context) => {
      context.workdir = path;
      return 0;
    });
  });
}

/** Resource limits, each `ID=CUR:MAX` in numbers. NULL is -EINVAL. */
export function krun_set_rlimits(ctx_id: number, rlimits: readonly CString[] | null): number {
  return checking(() => {
    const limits = texts(rlimits);
    return withContext(ctx_id, (context) => {
      context.rlimits = limits;
      return 0;
    });
  });
}
