import type { Instruction } from '../decode/instruction.ts';
import { operandSpec } from '../decode/operands.ts';
import type { Definition } from '../isa/definition.ts';
import { SEG } from '../state/layout.ts';

/** One way in which a definition is lowered to a handler. */
export interface Variant {
  readonly definition: Definition;
  readonly size: 16 | 32 | 64;
  /** How ModRM.rm is used: a register, or memory with a simple or full address. */
  readonly rm: 'reg' | 'simple' | 'full';
  readonly lock: boolean;
  readonly stackBits: 16 | 32 | 64;
  readonly addressBits: 16 | 32 | 64;
  readonly rep: 0 | 0xf2 | 0xf3;
  readonly mode64: boolean;
}

const SIZES = [16, 32, 64] as const;
const RM = ['reg', 'simple', 'full'] as const;
const REPS = [0, 0xf2, 0xf3] as const;

/** A number that distinguishes the variants of one definition; below 2**12. */
export function packVariant(v: Omit<Variant, 'definition'>): number {
  return pack(v.size, RM.indexOf(v.rm), v.lock, v.stackBits, v.addressBits, REPS.indexOf(v.rep), v.mode64);
}

function pack(size: number, rm: number, lock: boolean, stackBits: number, addressBits: number, rep: number, mode64: boolean): number {
  return (size >> 5) | (rm << 2) | (lock ? 16 : 0) | ((stackBits >> 5) << 5) | ((addressBits >> 5) << 7) | (rep << 9) | (mode64 ? 2048 : 0);
}

export interface Shape {
  readonly sized: boolean;
  readonly memory: boolean;
  readonly register: boolean;
  /** Has an operand at an immediate offset. */
  readonly offset: boolean;
  /** Is lowered differently in 64-bit and other modes. */
  readonly contextual: boolean;
}

const SHAPES = new Map<Definition, Shape>();

/** What of an instruction's context its handler depends on. */
export function shapeOf(definition: Definition): Shape {
  const cached = SHAPES.get(definition);
  if (cached !== undefined) return cached;
  const specs = (definition.operands ?? []).map(operandSpec);
  const rm = specs.filter((spec) => 'EWQ'.includes(spec.where));
  const memoryOnly = specs.some((spec) => spec.where === 'M' || spec.where === 'O');
  const forced = definition.opcode.endsWith(' mem') ? 'mem' : definition.opcode.endsWith(' reg') ? 'reg' : undefined;
  const shape = {
    sized:
      definition.sized === true ||
      definition.string === true ||
      definition.stack === true ||
      definition.default64 === true ||
      specs.some((spec) => 'vyz'.includes(spec.size) && spec.size !== '') ||
      specs.some((spec) => spec.signed),
    memory: (rm.length > 0 && forced !== 'reg') || memoryOnly,
    register: !memoryOnly && !(rm.length > 0 && forced === 'mem'),
    offset: specs.some((spec) => spec.where === 'O'),
    contextual: contextual(definition),
  };
  SHAPES.set(definition, shape);
  return shape;
}

/** All handlers that a definition needs. */
export function* variantsOf(definition: Definition): Generator<Variant> {
  const shape = shapeOf(definition);
  const rms = [...(shape.register ? (['reg'] as const) : []), ...(shape.memory ? (['simple', 'full'] as const) : [])];
  for (const mode64 of contextual(definition) ? [true, false] : [true]) {
    for (const size of sizesOf(definition, shape, mode64)) {
      for (const stackBits of definition.stack === true ? (mode64 ? ([64] as const) : ([16, 32] as const)) : ([64] as const)) {
        for (const addressBits of definition.string === true || definition.addressSized === true
          ? mode64
            ? ([32, 64] as const)
            : ([16, 32] as const)
          : ([64] as const)) {
          for (const rep of definition.string === true ? REPS : ([0] as const)) {
            for (const rm of rms) {
              yield { definition, size, rm, lock: false, stackBits, addressBits, rep, mode64 };
              if (definition.lock === true && rm !== 'reg') yield { definition, size, rm, lock: true, stackBits, addressBits, rep, mode64 };
            }
          }
        }
      }
    }
  }
}

function sizesOf(definition: Definition, shape: Shape, mode64: boolean): readonly (16 | 32 | 64)[] {
  if (!shape.sized) return definition.force64 === true && mode64 ? [64] : [32];
  if (definition.force64 === true && mode64) return [64];
  return mode64 ? SIZES : contextual(definition) ? [16, 32] : SIZES;
}

/** Forms whose lowering differs between 64-bit and other modes. */
function contextual(definition: Definition): boolean {
  return definition.ends === true || definition.stack === true || definition.string === true || definition.addressSized === true;
}

/** The packed variant that executes an instruction. `full` tells whether its address needs all parts. */
export function variantOf(insn: Instruction, full: boolean): number {
  const { def } = insn;
  const shape = shapeOf(def);
  const mode64 = shape.contextual ? insn.mode.bits === 64 : true;
  const size = shape.sized ? insn.operandSize : def.force64 === true && mode64 ? 64 : 32;
  const register = !shape.memory || (insn.memory === undefined && !shape.offset);
  const stackBits = def.stack === true ? insn.mode.stackBits : 64;
  const addressBits = def.string === true || def.addressSized === true ? insn.addressSize : 64;
  const rep = def.string !== true || insn.rep === 0 ? 0 : insn.rep === 0xf2 ? 1 : 2;
  return pack(size, register ? 0 : full ? 2 : 1, insn.lock, stackBits, addressBits, rep, mode64);
}

/** MOV with a memory offset as immediate. */
export function hasOffset(definition: Definition): boolean {
  return shapeOf(definition).offset;
}

/** Whether the address of a memory operand is more than base plus displacement. */
export function isFullAddress(insn: Instruction): boolean {
  const memory = insn.memory;
  if (memory === undefined) return false;
  return memory.index >= 0 || (memory.segment >= SEG.FS && insn.mode.bits === 64);
}
