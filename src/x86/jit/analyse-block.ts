import { Code } from '../../wasm/code.ts';
import { I32, I64, V128 } from '../../wasm/opcodes.ts';
import type { BlockInstruction, BlockLayout } from '../interp/block-layout.ts';
import { type Effects, noEffects } from './effects.ts';
import { JitEmitter, type JitRuntime, type StateLocals } from './jit-emitter.ts';
import { isLowerable, lower } from './lower.ts';
import type { BlockEnd, RegionBlock } from './region-block.ts';

/** Control transfers that change neither privilege nor address space. */
const NEAR = new Set(['JMP', 'CALL', 'RET']);

const NOTHING = { bail: () => {}, again: () => {} };

/** Locals for all guest state, whether it is used or not. */
function allLocals(code: Code): StateLocals {
  return {
    gpr: Array.from({ length: 16 }, () => code.local(I64)),
    xmm: Array.from({ length: 16 }, () => code.local(V128)),
    zr: code.local(I64),
    sp: code.local(I64),
    cv: code.local(I64),
    kind: code.local(I32),
    page: code.local(I64),
    budget: code.local(I32),
  };
}

/** Finds out what blocks do by lowering their instructions into the void. */
export class BlockAnalyser {
  readonly #code = new Code(0);
  readonly #emitter: JitEmitter;

  constructor(runtime: JitRuntime) {
    this.#emitter = new JitEmitter(this.#code, runtime, allLocals(this.#code), NOTHING, 0);
  }

  analyse(layout: BlockLayout): RegionBlock {
    const effects: Effects[] = [];
    this.#emitter.beginAddresses(new Map());
    for (const instruction of layout.instructions) {
      const one = this.#effectsOf(instruction);
      if (one === undefined) return { layout, effects, end: { kind: 'leave', at: effects.length, next: nextOf(layout) } };
      effects.push(one);
    }
    return { layout, effects, end: endOf(layout, effects) };
  }

  /** undefined: it cannot be compiled. */
  #effectsOf(instruction: BlockInstruction): Effects | undefined {
    if (!isLowerable(instruction.insn)) return undefined;
    const emitter = this.#emitter;
    this.#code.discard();
    emitter.effects = noEffects();
    emitter.beginBlock();
    lower(emitter, instruction);
    emitter.releaseTemps();
    return emitter.effects;
  }
}

/** Where a block goes that the interpreter ends. */
function nextOf(layout: BlockLayout): number[] {
  const { insn } = layout.instructions[layout.instructions.length - 1]!;
  const isRelative = insn.def.operands?.some((operand) => operand.startsWith('J')) === true;
  if (layout.open || !isRelative) return [layout.end];
  return [layout.end + Number(insn.immediate), layout.end];
}

function endOf(layout: BlockLayout, effects: readonly Effects[]): BlockEnd {
  const last = layout.instructions[layout.instructions.length - 1]!;
  const terminator = effects[effects.length - 1]!.terminator;
  const isCall = last.insn.def.stack === true;
  if (layout.open || terminator === undefined) return { kind: 'jump', target: layout.end, isCall: false };
  const target = layout.end + Number(last.insn.immediate);
  if (terminator.kind === 'branch') return { kind: 'branch', taken: target, notTaken: layout.end };
  return terminator.kind === 'jump' ? { kind: 'jump', target, isCall } : { kind: 'indirect', how: terminator.how, isNear: NEAR.has(last.insn.def.name) };
}
