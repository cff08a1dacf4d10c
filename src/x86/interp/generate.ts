import { Code } from '../../wasm/code.ts';
import { ModuleBuilder } from '../../wasm/module.ts';
import { I32, I64 } from '../../wasm/opcodes.ts';
import { operandBits, operandSpec } from '../decode/operands.ts';
import type { Definition } from '../isa/definition.ts';
import type { Operand } from '../ir/emitter.ts';
import { JUMP_HASH, JUMP_SHIFT, S } from '../state/layout.ts';
import { HOT_FORMS } from './hot-forms.ts';
import { InterpEmitter, type Runtime } from './interp-emitter.ts';
import { EXIT, PROFILE, R, RECORD_BYTES } from './record.ts';
import { writeRecordBody, writeRecordsBody } from './template-code.ts';
import { walkUserBody } from './walk-user.ts';
import { packVariant, type Variant, variantsOf } from './variants.ts';

/** Name of the custom section that lists the handlers: pairs of u32, little-endian. */
const HANDLERS_SECTION = 'krun.handlers';

/** Handlers at fixed places of the table. */
export const HANDLER = { invalid: 0, system: 1, prepare: 2, jumpNext: 3, stale: 4, profile: 5 } as const;

/** Host functions that the module imports from "h". */
export const IMPORTS = ['slowLoad', 'slowStore', 'commitStore', 'system', 'prepare', 'helper', 'probeLoad', 'probeStore'] as const;

/**
 * Generates the interpreter from the definitions as a module: one function per variant, called through a table by the records.
 * Deterministic: the build keeps the result.
 *
 * @param helpers names that Emitter.callHelper may use, in the order of their numbers
 */
export function generateInterpreter(definitions: readonly Definition[], helpers: readonly string[]): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  module.importSharedMemory('h', 'memory', { min: 1, max: 65536 });
  const imported: Record<string, number> = {};
  for (const name of IMPORTS) imported[name] = module.importFunction('h', name, [I32], [I32]);
  const handlerType = module.type([I32], [I32]);
  const jumpLinear = module.declare([I64], [I32]);
  const walkUser = module.function([I64, I32], [I32], walkUserBody());
  const runtime: Runtime = {
    slowLoad: module.function([I32], [I32], slowLoadBody(walkUser, imported['slowLoad']!)),
    slowStore: imported['slowStore']!,
    commitStore: module.function([I32], [], voidCall(imported['commitStore']!)),
    system: imported['system']!,
    jumpLinear,
    helper: module.function([I32], [], voidCall(imported['helper']!)),
    helperIds: new Map(helpers.map((name, i) => [name, i])),
    handlerType,
  };
  module.define(jumpLinear, jumpLinearBody(handlerType));
  const table: number[] = [
    module.function([I32], [I32], new Code(1).i32(0).get(0).store('i32_store', S.pc).i32(EXIT.stale)),
    module.function([I32], [I32], callTypeScript(imported['system']!, handlerType)),
    module.function([I32], [I32], callTypeScript(imported['prepare']!, handlerType)),
    module.function(
      [I32],
      [I32],
      lower(runtime, (b) => b.jumpRelative()),
    ),
  ];
  table.push(table[HANDLER.invalid]!);
  table.push(module.function([I32], [I32], countEntry(handlerType)));
  const handlers: number[] = [];
  const all: Variant[] = definitions.flatMap((definition) => (definition.semantics === undefined ? [] : [...variantsOf(definition)]));
  const numbers = new Map(definitions.map((definition, number) => [definition, number]));
  const place = (variant: Variant, handler: number): void => {
    handlers.push(numbers.get(variant.definition)! * 4096 + packVariant(variant), table.length);
    table.push(handler);
  };
  const hot = all.filter(isHot);
  const loop = module.function([I32], [I32], hotLoopBody(runtime, hot, table.length));
  for (const variant of hot) place(variant, loop);
  for (const variant of all) if (!isHot(variant)) place(variant, module.function([I32], [I32], lowerVariant(runtime, variant)));
  module.defineTable(table.length, 'table');
  module.elements(0, table);
  const run = new Code(1);
  run.get(0).get(0).load('i32_load', R.handler).callIndirect(handlerType);
  module.export('run', module.function([I32], [I32], run));
  exportForCompiledCode(module, runtime, { walkUser, probeLoad: imported['probeLoad']!, probeStore: imported['probeStore']! });
  const writeRecord = module.function([I32, I32, I32, I32], [I32], writeRecordBody());
  module.export('writeRecords', module.function([I32, I32, I32, I32], [I32], writeRecordsBody(writeRecord)));
  module.custom(HANDLERS_SECTION, new Uint8Array(Uint32Array.from(handlers).buffer));
  return module.build();
}

/** definition number * 4096 + packed variant -> table index, as the module itself says. */
export function handlersOf(module: WebAssembly.Module): ReadonlyMap<number, number> {
  const [section] = WebAssembly.Module.customSections(module, HANDLERS_SECTION);
  const words = new Uint32Array(section!);
  const handlers = new Map<number, number>();
  for (let i = 0; i < words.length; i += 2) handlers.set(words[i]!, words[i + 1]!);
  return handlers;
}

/** The first record of a block counts how often the block is entered, until compiled code takes its place. */
function countEntry(handlerType: number): Code {
  const code = new Code(1);
  countDown(code);
  code
    .get(0)
    .i32(RECORD_BYTES)
    .op('i32_add')
    .get(0)
    .load('i32_load', RECORD_BYTES + R.handler)
    .returnCallIndirect(handlerType);
  return code;
}

function countDown(code: Code): void {
  const left = code.local(I32);
  code.get(0).get(0).load('i32_load', PROFILE.left).i32(1).op('i32_sub').tee(left).store('i32_store', PROFILE.left);
  code.get(left).op('i32_eqz').if(false);
  code.i32(0).get(0).store('i32_store', S.pc).i32(EXIT.hot).op('return').end();
}

/** What compiled code imports. It must not import the table: an importer makes every change of it slow in V8. */
function exportForCompiledCode(module: ModuleBuilder, runtime: Runtime, host: { walkUser: number; probeLoad: number; probeStore: number }): void {
  const { handlerType } = runtime;
  const dispatch = new Code(1);
  dispatch.get(0).get(0).load('i32_load', R.handler).returnCallIndirect(handlerType);
  module.export('dispatch', module.function([I32], [I32], dispatch));
  const resume = new Code(1);
  resume.get(0).i32(1).op('i32_and').if(false);
  resume.i32(0).get(0).i32(1).op('i32_sub').store('i32_store', S.pc).i32(EXIT.budget).op('return').end();
  resume.get(0).get(0).load('i32_load', R.handler).returnCallIndirect(handlerType);
  module.export('resume', module.function([I32], [I32], resume));
  module.export(
    'followTaken',
    module.function(
      [I32],
      [I32],
      lower(runtime, (b) => b.follow(true)),
    ),
  );
  module.export(
    'followNotTaken',
    module.function(
      [I32],
      [I32],
      lower(runtime, (b) => b.follow(false)),
    ),
  );
  const jump = new Code(1).i32(0).i32(0).store('i32_store', S.link).get(0).returnCall(runtime.jumpLinear);
  module.export('jumpIndirect', module.function([I64], [I32], jump));
  module.export('helper', runtime.helper);
  for (const name of ['probeLoad', 'probeStore'] as const) {
    const probe = new Code(2);
    if (name === 'probeLoad') walkFirst(probe, host.walkUser, () => probe.get(0).get(1));
    probe.i32(0).get(0).store('i64_store', S.slowVa).get(1).call(host[name]);
    module.export(name, module.function([I64, I32], [I32], probe));
  }
}

/** (bytes): a load at S.slowVa that missed the TLB. */
function slowLoadBody(walkUser: number, slowLoad: number): Code {
  const code = new Code(1);
  walkFirst(code, walkUser, () => code.i32(0).load('i64_load', S.slowVa).get(0));
  return code.get(0).call(slowLoad);
}

/** Returns what the walk in generated code finds, if it does. */
function walkFirst(code: Code, walkUser: number, pushArguments: () => void): void {
  const host = code.local(I32);
  pushArguments();
  code.call(walkUser).tee(host).if(true);
  code.get(host).op('return').end();
}

function voidCall(target: number): Code {
  return new Code(1).get(0).call(target).op('drop');
}

/** S.pc = pc; the callee returns an exit code plus one, or 0 to go on with the next record. */
function callTypeScript(target: number, handlerType: number): Code {
  const code = new Code(1);
  const result = code.local(I32);
  code.i32(0).get(0).store('i32_store', S.pc);
  code.get(0).call(target).tee(result).if(false);
  code.get(result).i32(1).op('i32_sub').op('return').end();
  code
    .get(0)
    .i32(RECORD_BYTES)
    .op('i32_add')
    .get(0)
    .load('i32_load', RECORD_BYTES + R.handler)
    .returnCallIndirect(handlerType);
  return code;
}

/** Goes on at a linear RIP through the jump cache. */
function jumpLinearBody(handlerType: number): Code {
  const code = new Code(1);
  const record = findRecord(code, 0);
  return finishJump(code, record, handlerType);
}

/** Local with the record of the linear RIP in `target`; leaves the function when the jump cache does not know it. */
function findRecord(code: Code, target: number): number {
  const entry = code.local(I32);
  const record = code.local(I32);
  const link = code.local(I32);
  code.get(target).op('i32_wrap_i64').i32(JUMP_HASH).op('i32_mul').i32(JUMP_SHIFT).op('i32_shr_u').i32(4).op('i32_shl');
  code.i32(0).load('i32_load', S.jumpCache).op('i32_add').tee(entry);
  code.load('i64_load', 0).get(target).op('i64_ne').if(false);
  code.i32(0).get(target).store('i64_store', S.rip).i32(EXIT.lookup).op('return').end();
  code.get(entry).load('i32_load', 8).set(record);
  code.i32(0).get(target).i64(-4096n).op('i64_and').store('i64_store', S.page);
  code.i32(0).load('i32_load', S.link).tee(link).i32(0).op('i32_ne').get(entry).load('i32_load', 12).op('i32_and').if();
  code.get(link).get(record).store('i32_store', 0).end();
  return record;
}

/** Whether a handler is one of those that share a function. */
function isHot(variant: Variant): boolean {
  const { definition, size, rm, lock, stackBits, addressBits, rep, mode64 } = variant;
  if (lock || rep !== 0 || !mode64 || stackBits !== 64 || addressBits !== 64) return false;
  return HOT_FORMS[definition.opcode]?.split(' ').includes(`${size}${rm[0]}`) === true;
}

/**
 * The handlers of the hot forms as one function, which runs records as long as their handlers are its own: a branch to the
 * next one costs a fraction of a tail call. Their places in the table all hold this function; `first` is that of the first.
 */
function hotLoopBody(runtime: Runtime, variants: readonly Variant[], first: number): Code {
  const code = new Code(1);
  const target = code.local(I64);
  const again = code.loop();
  const jump = code.block();
  const labels = variants.map(() => code.block());
  const profile = code.block();
  const jumpNext = code.block();
  const others = code.block();
  const fixed = Array.from({ length: first }, (_, i) => (i === HANDLER.profile ? profile : i === HANDLER.jumpNext ? jumpNext : others));
  code
    .get(0)
    .load('i32_load', R.handler)
    .brTable([...fixed, ...labels.toReversed()], others)
    .end();
  code.get(0).get(0).load('i32_load', R.handler).returnCallIndirect(runtime.handlerType).end();
  const part = (emit: (b: InterpEmitter) => void): void => {
    const b = new InterpEmitter(code, runtime);
    b.loop = { again, jump, target };
    emit(b);
    b.releaseTemps();
  };
  part((b) => b.jumpRelative());
  code.end();
  countDown(code);
  code.get(0).i32(RECORD_BYTES).op('i32_add').set(0).br(again).end();
  for (const variant of variants) {
    part((b) => lowerInto(b, variant));
    code.end();
  }
  const record = findRecord(code, target);
  checkBudget(code, record);
  return code.get(record).set(0).br(again).end().op('unreachable');
}

/** Leaves the function before a record when the budget is used up. */
function checkBudget(code: Code, record: number): void {
  code.i32(0).load('i32_load', S.budget).i32(0).op('i32_lt_s').if(false);
  code.i32(0).get(record).store('i32_store', S.pc).i32(EXIT.budget).op('return').end();
}

function finishJump(code: Code, record: number, handlerType: number): Code {
  checkBudget(code, record);
  code.get(record).get(record).load('i32_load', R.handler).returnCallIndirect(handlerType);
  return code;
}

function lower(runtime: Runtime, body: (b: InterpEmitter) => void): Code {
  const code = new Code(1);
  body(new InterpEmitter(code, runtime));
  return code;
}

function lowerVariant(runtime: Runtime, variant: Variant): Code {
  return lower(runtime, (b) => lowerInto(b, variant));
}

function lowerInto(b: InterpEmitter, variant: Variant): void {
  b.size = variant.size;
  b.lock = variant.lock;
  b.stackBits = variant.stackBits;
  b.addressBits = variant.addressBits;
  b.rep = variant.rep;
  b.mode64 = variant.mode64;
  b.addressForm = variant.rm === 'full' ? 'full' : 'simple';
  const { definition } = variant;
  b.relative = (definition.operands ?? []).some((code) => code[0] === 'J');
  definition.semantics!(b, ...operandsFor(b, variant));
  if (definition.ends === true) b.code.op('unreachable');
  else b.next();
}

const REGISTER_FIELDS = [R.a, R.b, R.c] as const;

function operandsFor(b: InterpEmitter, variant: Variant): Operand[] {
  let registers = 0;
  let immediates = 0;
  const operands: Operand[] = [];
  for (const text of variant.definition.operands ?? []) {
    const spec = operandSpec(text);
    const bits = operandBits(spec, variant.size);
    const isMemory = variant.rm !== 'reg';
    const register = (kind: 'gpr' | 'xmm' | 'mmx') => {
      const field = REGISTER_FIELDS[registers++]!;
      return kind === 'gpr' ? b.gprOperand(field, bits) : b.vectorOperand(kind, field, bits);
    };
    switch (spec.where) {
      case 'E':
        operands.push(isMemory ? b.memoryOperand(bits) : register('gpr'));
        break;
      case 'W':
        operands.push(isMemory ? b.memoryOperand(bits) : register('xmm'));
        break;
      case 'Q':
        operands.push(isMemory ? b.memoryOperand(bits) : register('mmx'));
        break;
      case 'M':
      case 'O':
        operands.push(b.memoryOperand(bits));
        break;
      case 'G':
      case 'R':
      case 'B':
      case 'Z':
        operands.push(register('gpr'));
        break;
      case 'V':
      case 'U':
        operands.push(register('xmm'));
        break;
      case 'P':
      case 'N':
        operands.push(register('mmx'));
        break;
      case 'I':
        operands.push(b.immediateOperand(immediates++ === 0 ? 'immediate' : 'displacement', spec.signed ? variant.size : bits));
        break;
      case 'fixed':
        if (spec.fixed >= 0) operands.push(b.fixedGpr(spec.fixed, bits));
        break;
      case 'J':
        break;
      default:
        throw new Error(`Cannot lower ${variant.definition.name}: operand ${text} has no meaning for generated code`);
    }
  }
  return operands;
}
