import type { Instruction } from '../decode/instruction.ts';
import { operandBits, type OperandSpec, operandSpec } from '../decode/operands.ts';
import type { Definition } from '../isa/definition.ts';
import { S, SEG } from '../state/layout.ts';
import { HANDLER } from './generate.ts';
import { PROFILE, R, RECORD_BYTES } from './record.ts';
import { hasOffset, isFullAddress, shapeOf, variantOf } from './variants.ts';

/** Writes records for decoded instructions. */
export class Translator {
  readonly #view: DataView;
  readonly #handlers: ReadonlyMap<number, number>;
  readonly #plans: ReadonlyMap<Definition, Plan>;
  /** Instructions of records that TypeScript executes, by record address. */
  readonly instructions = new Map<number, Instruction>();

  constructor(view: DataView, handlers: ReadonlyMap<number, number>, definitions: readonly Definition[]) {
    this.#view = view;
    this.#handlers = handlers;
    this.#plans = new Map(definitions.map((definition, i) => [definition, planOf(definition, i)]));
  }

  /**
   * Writes the one or two records of an instruction at `at`.
   *
   * @param pageOffset offset of the instruction in its linear page
   * @param count its place in the block, from 1
   * @returns the address after the last record
   */
  write(at: number, insn: Instruction, pageOffset: number, count: number): number {
    if (insn.def.semantics === undefined) return this.#writeTypeScript(at, HANDLER.system, insn, pageOffset, count);
    let record = at;
    const prepared = needsPreparation(insn, pageOffset);
    if (prepared) record = this.#writeTypeScript(at, HANDLER.prepare, insn, pageOffset, count);
    const full = !prepared && isFullAddress(insn);
    const plan = this.#plans.get(insn.def)!;
    const handler = this.#handlers.get(plan.number * 4096 + variantOf(insn, full));
    if (handler === undefined) throw new Error(`Cannot translate ${insn.def.name} (${insn.def.opcode}): no handler for its operands`);
    this.#header(record, handler, pageOffset, count);
    if (insn.def.system !== undefined) this.instructions.set(record, insn);
    if (prepared) this.#address(record, { base: S.ea, index: S.zero, scale: 0, seg: S.zero, displacement: 0 });
    else if (insn.memory !== undefined) this.#memory(record, insn, pageOffset);
    else if (insn.def.string === true || insn.def.addressSized === true)
      this.#view.setUint16(record + R.seg, segmentSlot(insn.segment >= 0 ? insn.segment : SEG.DS, insn), true);
    this.#operands(record, insn, plan, pageOffset);
    return record + RECORD_BYTES;
  }

  /** A record that jumps to a page-relative target: the end of a block that ends without a branch. */
  writeJump(at: number, pageOffset: number, count: number, target: number, link: number): number {
    this.#header(at, HANDLER.jumpNext, pageOffset, count);
    this.#view.setUint32(at + R.taken, link, true);
    this.#immediate(at, target);
    return at + RECORD_BYTES;
  }

  /** The record before a block that counts its entries; compiled code takes its place (see jit/). */
  writeProfile(at: number, block: { pageOffset: number; page: number; modeIndex: number; count: number }): number {
    this.#header(at, HANDLER.profile, block.pageOffset, 0);
    this.#view.setUint16(at + PROFILE.entry, 0, true);
    this.#view.setUint16(at + PROFILE.mode, block.modeIndex, true);
    this.#view.setUint32(at + PROFILE.page, block.page, true);
    this.#view.setInt32(at + PROFILE.left, block.count, true);
    return at + RECORD_BYTES;
  }

  #header(at: number, handler: number, pageOffset: number, count: number): void {
    this.#view.setUint32(at + R.handler, handler, true);
    this.#view.setUint16(at + R.pageOffset, pageOffset, true);
    this.#view.setUint8(at + R.scale, 0);
    this.#view.setUint8(at + R.count, count);
  }

  #writeTypeScript(at: number, handler: number, insn: Instruction, pageOffset: number, count: number): number {
    this.#header(at, handler, pageOffset, count);
    this.instructions.set(at, insn);
    return at + RECORD_BYTES;
  }

  #memory(at: number, insn: Instruction, pageOffset: number): void {
    const memory = insn.memory!;
    const base = memory.ripRelative ? S.page : memory.base < 0 ? S.zero : S.gpr + memory.base * 8;
    const displacement = Number(memory.displacement) + (memory.ripRelative ? pageOffset + insn.length : 0);
    const index = memory.index < 0 ? S.zero : S.gpr + memory.index * 8;
    this.#address(at, { base, index, scale: memory.scale, seg: segmentSlot(memory.segment, insn), displacement });
  }

  #address(at: number, parts: { base: number; index: number; scale: number; seg: number; displacement: number }): void {
    const view = this.#view;
    view.setUint16(at + R.base, parts.base, true);
    view.setUint16(at + R.index, parts.index, true);
    view.setUint16(at + R.seg, parts.seg, true);
    view.setUint8(at + R.scale, parts.scale);
    view.setInt32(at + R.displacement, parts.displacement, true);
  }

  #operands(at: number, insn: Instruction, plan: Plan, pageOffset: number): void {
    const view = this.#view;
    const next = pageOffset + insn.length;
    const ends = insn.def.ends === true;
    if (ends) this.#immediate(at, next);
    let registers = 0;
    let immediates = 0;
    for (const spec of plan.specs) {
      const slot = registerSlot(spec.where, insn, operandBits(spec, insn.operandSize));
      if (slot >= 0) view.setUint16(at + REGISTER_FIELDS[registers++]!, slot, true);
      else if (spec.where === 'J') this.#branchTargets(at, insn, next);
      else if (spec.where === 'I' && immediates++ === 0) {
        const bits = spec.signed ? insn.operandSize : operandBits(spec, insn.operandSize);
        view.setBigUint64(at + R.immediate, insn.immediate >= 0n ? insn.immediate : BigInt.asUintN(bits, insn.immediate), true);
        if (plan.immediates === 2) view.setInt32(at + R.displacement, insn.immediate2, true);
      }
    }
    // Control transfers with a memory operand keep the address there; they find the next instruction in the immediate.
    if (ends && insn.memory === undefined) view.setInt32(at + R.displacement, next, true);
  }

  /** A small number as the 64-bit immediate. */
  #immediate(at: number, value: number): void {
    this.#view.setInt32(at + R.immediate, value, true);
    this.#view.setInt32(at + R.immediate + 4, value < 0 ? -1 : 0, true);
  }

  #branchTargets(at: number, insn: Instruction, next: number): void {
    const target = next + Number(insn.immediate);
    const view = this.#view;
    this.#immediate(at, target);
    view.setUint32(at + R.taken, inPage(target) ? 0 : 1, true);
    view.setUint32(at + R.notTaken, inPage(next) ? 0 : 1, true);
  }
}

const REGISTER_FIELDS = [R.a, R.b, R.c] as const;

/** What of a definition every one of its records needs. */
interface Plan {
  readonly number: number;
  readonly specs: readonly OperandSpec[];
  /** How many immediates there are. */
  readonly immediates: number;
}

function planOf(definition: Definition, number: number): Plan {
  const specs = (definition.operands ?? []).map(operandSpec);
  return { number, specs, immediates: specs.filter((spec) => spec.where === 'I').length };
}

function inPage(offset: number): boolean {
  return offset >= 0 && offset < 4096;
}

/** State offset of the base of a segment; in 64-bit mode only FS and GS have one. */
function segmentSlot(segment: number, insn: Instruction): number {
  if (insn.mode.bits === 64 && segment < SEG.FS) return S.zero;
  return S.segBase + segment * 8;
}

/** Whether TypeScript has to compute the effective address: anything but plain 64-bit addressing. */
export function needsPreparation(insn: Instruction, pageOffset: number): boolean {
  if (hasOffset(insn.def)) return true;
  const memory = insn.memory;
  if (memory === undefined || !shapeOf(insn.def).memory) return false;
  if (insn.addressSize !== 64) return true;
  const displacement = Number(memory.displacement) + (memory.ripRelative ? pageOffset + insn.length : 0);
  return displacement !== (displacement | 0);
}

/** State offset of a register operand, or -1 for operands that are no register. */
function registerSlot(where: string, insn: Instruction, bits: number): number {
  switch (where) {
    case 'E':
      return insn.memory === undefined ? gprSlot(insn.rm, bits, insn) : -1;
    case 'R':
      return gprSlot(insn.rm, bits, insn);
    case 'G':
      return gprSlot(insn.reg, bits, insn);
    case 'B':
      return S.gpr + insn.vvvv * 8;
    case 'Z':
      return gprSlot(insn.opcodeReg, bits, insn);
    case 'V':
      return S.xmm + insn.reg * 32;
    case 'W':
      return insn.memory === undefined ? S.xmm + insn.rm * 32 : -1;
    case 'U':
      return S.xmm + insn.rm * 32;
    case 'P':
      return S.st + (insn.reg & 7) * 16;
    case 'Q':
      return insn.memory === undefined ? S.st + (insn.rm & 7) * 16 : -1;
    case 'N':
      return S.st + (insn.rm & 7) * 16;
    default:
      return -1;
  }
}

/** AH CH DH BH are the second bytes of the first four registers, unless a REX prefix is there. */
function gprSlot(index: number, bits: number, insn: Instruction): number {
  if (bits === 8 && insn.rex === 0 && index >= 4 && index < 8) return S.gpr + (index - 4) * 8 + 1;
  return S.gpr + index * 8;
}
