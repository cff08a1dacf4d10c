import { KrunError, type Stage } from '../base/krun-error.ts';

export { KrunError, type Stage } from '../base/krun-error.ts';

/** Runs one stage of a VM's life; whatever is thrown leaves as a KrunError that names the stage. */
export async function atStage<T>(stage: Stage, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw toKrunError(error, stage);
  }
}

/** The error itself when it is typed already; else its message under its own code, or under ERR_INTERNAL. */
export function toKrunError(error: unknown, stage: Stage): KrunError {
  if (error instanceof KrunError) return error;
  const { code, message } = (error instanceof Error ? error : new Error(String(error))) as Error & { code?: unknown };
  return new KrunError(typeof code === 'string' ? code : 'ERR_INTERNAL', message, { stage, cause: error });
}
