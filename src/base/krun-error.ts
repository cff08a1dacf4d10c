/** The stages a VM passes through; an error says in which one it happened. */
export type Stage = 'config' | 'resources' | 'kernel' | 'engine' | 'assemble' | 'run' | 'dispose';

export interface KrunErrorDetails {
  readonly stage: Stage;
  /** What the user can do about it, one sentence. */
  readonly hint?: string | undefined;
  readonly cause?: unknown;
}

/** Every error that leaves the public API: switch on `code`, show `message` and `hint`. */
export class KrunError extends Error {
  override readonly name: string = 'KrunError';
  /** Stable; `ERR_` and upper case. */
  readonly code: string;
  readonly stage: Stage;
  readonly hint: string | undefined;

  constructor(code: string, message: string, { stage, hint, cause }: KrunErrorDetails) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.stage = stage;
    this.hint = hint;
  }
}
