import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../../testing/random.ts';
import { Code } from '../../wasm/code.ts';
import { ModuleBuilder } from '../../wasm/module.ts';
import { I32 } from '../../wasm/opcodes.ts';
import { operandBits, operandSpec } from '../decode/operands.ts';
import { constantOperand, InterpEmitter, type Runtime } from '../interp/interp-emitter.ts';
import type { Operand, Value } from '../ir/emitter.ts';
import { S } from '../state/layout.ts';
import { CARRYLESS } from './carryless.ts';
import type { Definition } from './definition.ts';
import { MMX } from './mmx.ts';
import { SSE_INTEGER } from './sse-integer.ts';
import { SSE_SHUFFLE } from './sse-shuffle.ts';
import { SSE4 } from './sse4.ts';

/**
 * The interpreter lowers an immediate as a field of the record, a compiled region as a constant, which chooses other
 * WebAssembly. The recorded vectors only see the first.
 */

const STATE_BYTES = 0x1000;
const forms = [...SSE_INTEGER, ...SSE_SHUFFLE, ...SSE4, ...MMX, ...CARRYLESS].filter(
  ({ operands, opcode }) => operands?.includes('Ib') === true && !opcode.endsWith(' mem'),
);

/** Lowers a register form with an immediate that is or is not known. */
function lower(definition: Definition, known: number | undefined): Code {
  const code = new Code(1);
  const b = new InterpEmitter(code, {} as Runtime);
  const places = [0, 1];
  const operands = (definition.operands ?? []).map((text): Operand => {
    const spec = operandSpec(text);
    const bits = operandBits(spec, b.size);
    const immediate: Value = known === undefined ? b.field64(S.temp) : b.const(known);
    if (spec.where === 'I') return constantOperand(8, () => immediate);
    const place = places.shift() ?? 0;
    if ('VWU'.includes(spec.where)) return b.registerOperand('xmm', bits, () => b.i32(0), S.xmm + place * 32);
    if ('PQN'.includes(spec.where)) return b.registerOperand('mmx', bits, () => b.i32(0), S.st + place * 16);
    return b.registerOperand('gpr', bits, () => b.i32(0), S.gpr + place * 8);
  });
  definition.semantics?.(b, ...operands);
  code.i32(0);
  return code;
}

function build(definition: Definition, immediates: readonly number[]): { memory: Uint8Array; run: (i: number) => void } {
  const module = new ModuleBuilder();
  module.importSharedMemory('h', 'memory', { min: 1, max: 1 });
  [undefined, ...immediates].forEach((known, i) => {
    module.export(`f${i}`, module.function([I32], [I32], lower(definition, known)));
  });
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module.build()), { h: { memory } });
  const run = (i: number): void => void (exports[`f${i}`] as (record: number) => number)(0);
  return { memory: new Uint8Array(memory.buffer, 0, STATE_BYTES), run };
}

test('there are forms with an immediate to check', () => {
  assert.ok(forms.length >= 40);
});

for (const definition of forms) {
  test(`${definition.name} (${definition.opcode}) gives the same for a known and an unknown immediate`, () => {
    const immediates = Array.from({ length: 40 }, (_, i) => (i < 36 ? i : i * 6 + 20));
    const { memory, run } = build(definition, immediates);
    const random = new Random(7);
    immediates.forEach((immediate, i) => {
      const before = memory.map(() => random.below(256));
      // No pending exception for MMX.
      before.fill(0, S.fsw, S.fsw + 4);
      before.fill(0, S.temp, S.temp + 8);
      before[S.temp] = immediate;
      const results = [0, i + 1].map((which) => {
        memory.set(before);
        run(which);
        return memory.slice();
      });
      assert.deepEqual(results[1], results[0], `immediate ${immediate}`);
      if (immediate === 35) assert.notDeepEqual(results[0], before);
    });
  });
}
