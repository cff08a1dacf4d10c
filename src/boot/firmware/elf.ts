import { FirmwareError } from './firmware-error.ts';

/** Constants of the ELF-64 object format. @spec ELF "Object Files", "Program Loading and Dynamic Linking" */
const ET_DYN = 3;
const EM_X86_64 = 62;
const SHT_DYNSYM = 11;
const PT_LOAD = 1;
const EHDR_SIZE = 64;
const SHDR_SIZE = 64;
const PHDR_SIZE = 56;
const SYM_SIZE = 24;

/** More than any library of this kind has; a hostile file may claim 2**59 symbols. */
const SYMBOLS_MAX = 65536;

/** A defined dynamic symbol with the file bytes it stands for. */
export interface ElfSymbol {
  readonly name: string;
  readonly bytes: Uint8Array;
}

interface Range {
  readonly offset: number;
  readonly length: number;
}

interface Segment extends Range {
  readonly address: number;
}

/**
 * Looks up dynamic symbols of a 64-bit x86 shared object without loading it.
 *
 * @param wanted names to return; symbols that are absent are absent from the map
 * @throws {FirmwareError} not such an object, or a table points outside the file
 */
export function dynamicSymbols(file: Uint8Array, wanted: readonly string[]): Map<string, Uint8Array> {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  checkHeader(view);
  const segments = loadSegments(view);
  const sections = table(view, { at: 0x28, entrySizeAt: 0x3a, countAt: 0x3c, entrySize: SHDR_SIZE });
  const dynsym = sections.find((at) => view.getUint32(at + 4, true) === SHT_DYNSYM);
  if (dynsym === undefined) throw new FirmwareError('no dynamic symbol table');
  const linked = sections[view.getUint32(dynsym + 0x28, true)];
  if (linked === undefined) throw new FirmwareError('symbol table without names');
  return pick(file, view, wanted, { symbols: section(view, dynsym), names: section(view, linked), segments });
}

function checkHeader(view: DataView): void {
  if (view.byteLength < EHDR_SIZE) throw new FirmwareError(`file of ${view.byteLength} bytes`);
  if (view.getUint32(0, false) !== 0x7f454c46) throw new FirmwareError('no ELF magic');
  if (view.getUint8(4) !== 2 || view.getUint8(5) !== 1) throw new FirmwareError('not a little-endian 64-bit object');
  const machine = view.getUint16(0x12, true);
  if (machine !== EM_X86_64) throw new FirmwareError(`object for machine ${machine}, not x86-64`);
  const type = view.getUint16(0x10, true);
  if (type !== ET_DYN) throw new FirmwareError(`ELF type ${type}, not a shared object`);
}

interface TableFields {
  readonly at: number;
  readonly entrySizeAt: number;
  readonly countAt: number;
  readonly entrySize: number;
}

/** File offsets of the entries of a header table, all of them inside the file. */
function table(view: DataView, { at, entrySizeAt, countAt, entrySize }: TableFields): number[] {
  const start = offset(view, at);
  const count = view.getUint16(countAt, true);
  const size = view.getUint16(entrySizeAt, true);
  if (count > 0 && size !== entrySize) throw new FirmwareError(`header table with entries of ${size} bytes`);
  inside(view, { offset: start, length: count * entrySize });
  return Array.from({ length: count }, (_, index) => start + index * entrySize);
}

function loadSegments(view: DataView): Segment[] {
  return table(view, { at: 0x20, entrySizeAt: 0x36, countAt: 0x38, entrySize: PHDR_SIZE })
    .filter((at) => view.getUint32(at, true) === PT_LOAD)
    .map((at) => ({
      address: offset(view, at + 0x10),
      ...inside(view, { offset: offset(view, at + 8), length: offset(view, at + 0x20) }),
    }));
}

function section(view: DataView, at: number): Range {
  return inside(view, { offset: offset(view, at + 0x18), length: offset(view, at + 0x20) });
}

interface Tables {
  readonly symbols: Range;
  readonly names: Range;
  readonly segments: readonly Segment[];
}

function pick(file: Uint8Array, view: DataView, wanted: readonly string[], tables: Tables): Map<string, Uint8Array> {
  const { symbols, names, segments } = tables;
  const found = new Map<string, Uint8Array>();
  const count = Math.min(Math.floor(symbols.length / SYM_SIZE), SYMBOLS_MAX);
  for (let index = 0; index < count; index++) {
    const at = symbols.offset + index * SYM_SIZE;
    if (view.getUint16(at + 6, true) === 0) continue; // SHN_UNDEF: an import
    const nameAt = view.getUint32(at, true);
    const name = wanted.find((candidate) => isNamed(file, names, nameAt, candidate));
    if (name === undefined) continue;
    const value = { address: offset(view, at + 8), length: offset(view, at + 16) };
    const segment = segments.find((s) => value.address >= s.address && value.address < s.address + s.length);
    if (segment === undefined) throw new FirmwareError(`symbol ${name} outside the file`);
    const start = segment.offset + (value.address - segment.address);
    // A symbol may run into zero-initialised memory behind its segment; only its file bytes are returned.
    const end = Math.min(start + value.length, segment.offset + segment.length);
    found.set(name, file.subarray(start, end));
  }
  return found;
}

function isNamed(file: Uint8Array, names: Range, at: number, name: string): boolean {
  if (at + name.length >= names.length) return false;
  const start = names.offset + at;
  for (let i = 0; i < name.length; i++) if (file[start + i] !== name.charCodeAt(i)) return false;
  return file[start + name.length] === 0;
}

/** A 64-bit field that must be an exact double, as every offset in a real file is. */
function offset(view: DataView, at: number): number {
  const value = view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
  if (!Number.isSafeInteger(value)) throw new FirmwareError(`address or offset of ${value}`);
  return value;
}

function inside<R extends Range>(view: DataView, range: R): R {
  if (range.offset + range.length > view.byteLength) throw new FirmwareError('truncated file');
  return range;
}
