/** Our own mistakes stop the program here; what a guest or a host does wrong never comes this way. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionFailure(message);
}

/** A broken invariant inside krun. */
export class AssertionFailure extends Error {
  override readonly name = 'AssertionFailure';
}

/** The default arm of an exhaustive switch. */
export function unreachable(value: never): never {
  throw new AssertionFailure(`Unexpected value: ${String(value)}`);
}
