import type { Definition } from '../isa/definition.ts';
import { type OperandSpec, operandSpec } from './operands.ts';

const NONE: readonly OperandSpec[] = [];

/**
 * Opcode tables, derived from the definitions: map -> opcode -> 64 forms chosen by mandatory prefix, ModRM.reg and whether
 * ModRM.rm is a register. Maps: 0 one-byte, 1 0F, 2 0F38, 3 0F3A, 4..6 the same escapes under VEX.
 */
export interface OpcodeEntry {
  readonly hasModrm: boolean;
  /** Index: prefix (0 none, 1 66, 2 F3, 3 F2) * 16 + ModRM.reg * 2 + (mod == 3). */
  readonly forms: readonly (Definition | undefined)[];
  /** For each form the operands that take bytes after ModRM; forms that name the whole ModRM byte have none. */
  readonly immediates: readonly (readonly OperandSpec[])[];
  /** Forms that name the whole ModRM byte, by it. */
  readonly exact: ReadonlyMap<number, Definition> | undefined;
}

/** Definitions by opcode map and opcode. */
export class OpcodeTables {
  readonly maps: readonly (OpcodeEntry | undefined)[][];

  constructor(definitions: readonly Definition[]) {
    const building: (BuildEntry | undefined)[][] = Array.from({ length: 8 }, () => []);
    for (const definition of definitions) addDefinition(building, definition);
    this.maps = building;
  }
}

interface BuildEntry {
  hasModrm: boolean;
  forms: (Definition | undefined)[];
  immediates: (readonly OperandSpec[])[];
  exact: Map<number, Definition> | undefined;
  /** How specific the form in each place is; more specific ones win. */
  rank: number[];
}

interface Encoding {
  readonly prefix: number; // -1 any
  readonly map: number;
  readonly opcode: number;
  readonly plusR: boolean;
  readonly modrm: boolean;
  readonly digit: number; // -1 any
  readonly rm: 'mem' | 'reg' | undefined;
  /** The whole ModRM byte, or -1. */
  readonly exact: number;
}

const PREFIX: Record<string, number> = { NP: 0, '66': 1, F3: 2, F2: 3 };

/** @throws {Error} for an encoding string that does not parse: a mistake of ours */
export function parseEncoding(text: string): Encoding {
  const words = text.split(' ');
  let prefix = -1;
  let vex = false;
  let map = 0;
  let opcode = -1;
  const rest = { plusR: false, modrm: false, digit: -1, rm: undefined as 'mem' | 'reg' | undefined, exact: -1 };
  words.forEach((word, i) => {
    if (word === 'VEX') vex = true;
    else if (opcode < 0 && word in PREFIX && i < words.length - 1 && prefix < 0 && map === 0 && isPrefix(words, i)) prefix = PREFIX[word]!;
    else if (word === '0F' && map === 0 && opcode < 0) map = 1;
    else if (map === 1 && word === '38' && opcode < 0 && isByte(words[i + 1])) map = 2;
    else if (map === 1 && word === '3A' && opcode < 0 && isByte(words[i + 1])) map = 3;
    else if (opcode < 0 && isByte(word)) opcode = Number.parseInt(word, 16);
    else if (word === '+r') rest.plusR = true;
    else if (word === '/r') rest.modrm = true;
    else if (/^\/[0-7]$/.test(word)) Object.assign(rest, { modrm: true, digit: Number(word[1]) });
    else if (/^=[0-9A-F]{2}$/.test(word)) Object.assign(rest, { modrm: true, exact: Number.parseInt(word.slice(1), 16) });
    else if (word === 'mem' || word === 'reg') rest.rm = word;
    else throw new Error(`Cannot parse the encoding "${text}": unexpected "${word}"`);
  });
  if (opcode < 0) throw new Error(`Cannot parse the encoding "${text}": no opcode`);
  return { prefix, map: vex ? map + 3 : map, opcode, ...rest };
}

/** 66, F2, F3 are prefixes when another opcode byte or escape follows. */
function isPrefix(words: readonly string[], i: number): boolean {
  return words[i] === 'NP' || words[i + 1] === 'VEX' || isByte(words[i + 1]);
}

function isByte(word: string | undefined): boolean {
  return word !== undefined && /^[0-9A-F]{2}$/.test(word);
}

function addDefinition(maps: (BuildEntry | undefined)[][], definition: Definition): void {
  const encoding = parseEncoding(definition.opcode);
  const modrm = encoding.modrm || (definition.operands ?? []).some((code) => /^s?[ERMGVWUPQNSB]/.test(code) && code !== 'rAX');
  const legacyTwin = definition.mode === 'legacy';
  for (let i = 0; i < (encoding.plusR ? 8 : 1); i++) {
    const map = maps[encoding.map]!;
    const opcode = encoding.opcode + i;
    let entry = map[opcode];
    if (entry === undefined) {
      entry = {
        hasModrm: false,
        forms: new Array(128).fill(undefined),
        immediates: new Array(128).fill(NONE),
        rank: new Array(128).fill(-1),
        exact: undefined,
      };
      map[opcode] = entry;
    }
    if (modrm) entry.hasModrm = true;
    if (encoding.exact >= 0) {
      entry.exact ??= new Map();
      entry.exact.set(encoding.exact, definition);
      continue;
    }
    place(entry, encoding, definition, legacyTwin ? 64 : 0);
    if (definition.mode === undefined) place(entry, encoding, definition, 64);
  }
}

/** The second half of the forms is for 16- and 32-bit code. */
function place(entry: BuildEntry, encoding: Encoding, definition: Definition, half: number): void {
  const found = (definition.operands ?? []).map(operandSpec).filter((spec) => 'IJOA'.includes(spec.where));
  const immediates = found.length === 0 ? NONE : found;
  const rank = (encoding.prefix >= 0 ? 4 : 0) + (encoding.digit >= 0 ? 2 : 0) + (encoding.rm !== undefined ? 1 : 0);
  for (let index = 0; index < 64; index++) {
    if (encoding.prefix >= 0 && index >> 4 !== encoding.prefix) continue;
    if (encoding.digit >= 0 && ((index >> 1) & 7) !== encoding.digit) continue;
    if (encoding.rm !== undefined && (encoding.rm === 'reg') !== ((index & 1) === 1)) continue;
    const at = half + index;
    if (entry.rank[at]! > rank) continue;
    entry.forms[at] = definition;
    entry.immediates[at] = immediates;
    entry.rank[at] = rank;
  }
}
