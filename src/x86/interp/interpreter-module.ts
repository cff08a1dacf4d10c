import { DEFINITIONS } from '../isa/index.ts';
import { generateInterpreter, handlersOf } from './generate.ts';
import { HELPER_NAMES } from './helpers.ts';

/** The compiled interpreter and where its handlers are. */
export interface InterpreterModule {
  readonly module: WebAssembly.Module;
  /** definition number * 4096 + packed variant -> table index. */
  readonly handlers: ReadonlyMap<number, number>;
}

let shared: InterpreterModule | undefined;

/** Compiled once per thread; generated here unless `provideInterpreter` came before. */
export function interpreterModule(): InterpreterModule {
  shared ??= compile(interpreterBytes());
  return shared;
}

/** The module's bytes, for the build to keep. */
export function interpreterBytes(): Uint8Array<ArrayBuffer> {
  return generateInterpreter(DEFINITIONS, HELPER_NAMES);
}

/** Takes bytes that the build kept, which saves generating them. */
export function provideInterpreter(bytes: Uint8Array<ArrayBuffer>): void {
  shared ??= compile(bytes);
}

function compile(bytes: Uint8Array<ArrayBuffer>): InterpreterModule {
  const module = new WebAssembly.Module(bytes);
  return { module, handlers: handlersOf(module) };
}
