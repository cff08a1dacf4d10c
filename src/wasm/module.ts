import { ByteWriter } from './bytes.ts';
import type { Code } from './code.ts';
import type { ValType } from './opcodes.ts';

/** Builds one WebAssembly module; functions are numbered imports first. @spec WASM-2 §5.5 */
export class ModuleBuilder {
  readonly #types: { key: string; parameters: readonly ValType[]; results: readonly ValType[] }[] = [];
  readonly #imports: ((out: ByteWriter) => void)[] = [];
  #importedFunctions = 0;
  readonly #functions: { type: number; code: Code | undefined }[] = [];
  readonly #exports: { name: string; kind: number; index: number }[] = [];
  readonly #customs: { name: string; data: Uint8Array }[] = [];
  #table: { min: number } | undefined;
  readonly #elements: { offset: number; functions: readonly number[] }[] = [];

  type(parameters: readonly ValType[], results: readonly ValType[]): number {
    const key = `${parameters}>${results}`;
    const found = this.#types.findIndex((type) => type.key === key);
    if (found >= 0) return found;
    this.#types.push({ key, parameters, results });
    return this.#types.length - 1;
  }

  importFunction(module: string, name: string, parameters: readonly ValType[], results: readonly ValType[]): number {
    const type = this.type(parameters, results);
    this.#imports.push((out) => out.name(module).name(name).u8(0).u32(type));
    return this.#importedFunctions++;
  }

  /** Sizes in 64 KiB pages. */
  importSharedMemory(module: string, name: string, pages: { min: number; max: number }): void {
    this.#imports.push((out) => out.name(module).name(name).u8(2).u8(3).u32(pages.min).u32(pages.max));
  }

  importTable(module: string, name: string, min: number): void {
    this.#imports.push((out) => out.name(module).name(name).u8(1).u8(0x70).u8(0).u32(min));
  }

  defineTable(min: number, exportAs: string): void {
    this.#table = { min };
    this.#exports.push({ name: exportAs, kind: 1, index: 0 });
  }

  /** Reserves an index for a function whose body follows later. */
  declare(parameters: readonly ValType[], results: readonly ValType[]): number {
    this.#functions.push({ type: this.type(parameters, results), code: undefined });
    return this.#importedFunctions + this.#functions.length - 1;
  }

  define(index: number, code: Code): void {
    this.#functions[index - this.#importedFunctions]!.code = code;
  }

  function(parameters: readonly ValType[], results: readonly ValType[], code: Code): number {
    const index = this.declare(parameters, results);
    this.define(index, code);
    return index;
  }

  export(name: string, index: number): void {
    this.#exports.push({ name, kind: 0, index });
  }

  elements(offset: number, functions: readonly number[]): void {
    this.#elements.push({ offset, functions });
  }

  /** A custom section, after all others. */
  custom(name: string, data: Uint8Array): void {
    this.#customs.push({ name, data });
  }

  build(): Uint8Array<ArrayBuffer> {
    const out = new ByteWriter(64 * 1024);
    out.raw([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
    this.#section(out, 1, (to) => this.#writeTypes(to));
    if (this.#imports.length > 0) {
      this.#section(out, 2, (to) => {
        to.u32(this.#imports.length);
        for (const write of this.#imports) write(to);
      });
    }
    this.#section(out, 3, (to) => {
      to.u32(this.#functions.length);
      for (const fn of this.#functions) to.u32(fn.type);
    });
    const table = this.#table;
    if (table !== undefined) this.#section(out, 4, (to) => to.u32(1).u8(0x70).u8(0).u32(table.min));
    this.#section(out, 7, (to) => {
      to.u32(this.#exports.length);
      for (const item of this.#exports) to.name(item.name).u8(item.kind).u32(item.index);
    });
    if (this.#elements.length > 0) this.#section(out, 9, (to) => this.#writeElements(to));
    const bodies = this.#functions.map((fn) => functionBody(fn.code!));
    if (this.#functions.some((fn) => fn.code!.hints.length > 0)) this.#section(out, 0, (to) => this.#writeHints(to, bodies));
    this.#section(out, 10, (to) => {
      to.u32(bodies.length);
      for (const body of bodies) {
        to.u32(body.header.length + body.code.out.length + 1);
        to.raw(body.header.view()).raw(body.code.out.view()).u8(0x0b);
      }
    });
    for (const { name, data } of this.#customs) this.#section(out, 0, (to) => to.name(name).raw(data));
    return out.bytes.slice(0, out.length) as Uint8Array<ArrayBuffer>;
  }

  #section(out: ByteWriter, id: number, write: (to: ByteWriter) => void): void {
    const body = new ByteWriter(4096);
    write(body);
    out.u8(id).u32(body.length).raw(body.view());
  }

  #writeTypes(to: ByteWriter): void {
    to.u32(this.#types.length);
    for (const { parameters, results } of this.#types) {
      to.u8(0x60).u32(parameters.length).raw(parameters).u32(results.length).raw(results);
    }
  }

  #writeElements(to: ByteWriter): void {
    to.u32(this.#elements.length);
    for (const { offset, functions } of this.#elements) {
      to.u32(0).u8(0x41).s32(offset).u8(0x0b).u32(functions.length);
      for (const fn of functions) to.u32(fn);
    }
  }

  /** @spec WASM-BRANCH-HINTS */
  #writeHints(to: ByteWriter, bodies: readonly FunctionBody[]): void {
    to.name('metadata.code.branch_hint');
    const hinted = bodies.map((body, i) => ({ body, i })).filter(({ body }) => body.code.hints.length > 0);
    to.u32(hinted.length);
    for (const { body, i } of hinted) {
      to.u32(this.#importedFunctions + i).u32(body.code.hints.length);
      for (const hint of body.code.hints)
        to.u32(hint.at + body.header.length)
          .u32(1)
          .u32(hint.likely ? 1 : 0);
    }
  }
}

interface FunctionBody {
  readonly header: ByteWriter;
  readonly code: Code;
}

/** Local declarations, run-length encoded in order. */
function functionBody(code: Code): FunctionBody {
  const runs: { count: number; type: ValType }[] = [];
  for (const type of code.locals) {
    const last = runs[runs.length - 1];
    if (last !== undefined && last.type === type) last.count++;
    else runs.push({ count: 1, type });
  }
  const header = new ByteWriter(32);
  header.u32(runs.length);
  for (const run of runs) header.u32(run.count).u8(run.type);
  return { header, code };
}
