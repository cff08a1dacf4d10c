import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Decoder } from '../decode/decode.ts';
import type { Instruction } from '../decode/instruction.ts';
import { OpcodeTables } from '../decode/tables.ts';
import { DEFINITIONS } from '../isa/index.ts';
import { ENGINE, ENGINE_BYTES } from '../state/layout.ts';
import { IMPORTS } from './generate.ts';
import { interpreterModule } from './interpreter-module.ts';
import { codeMode } from './mode.ts';
import { BLOCK_MAX, R, RECORD_BYTES } from './record.ts';
import { ENDED } from './template-layout.ts';
import { Templates, type WriteRecords } from './templates.ts';
import { needsPreparation, Translator } from './translate.ts';

const CODE = ENGINE_BYTES + 0x1000;
const RECORD: number = ENGINE.records;
const MODE = codeMode(2);
/** Prefixes, then any opcode: what a template must tell apart. */
const PREFIXES = [0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x64, 0x65, 0x2e, 0x40, 0x41, 0x42, 0x44, 0x48, 0x49, 0x4c, 0x4f];

function random(seed: number): () => number {
  let x = seed;
  return () => {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    return x / 2 ** 32;
  };
}

function rig() {
  const memory = new WebAssembly.Memory({ initial: ENGINE_BYTES / 65536 + 1, maximum: ENGINE_BYTES / 65536 + 1, shared: true });
  const view = new DataView(memory.buffer as unknown as ArrayBuffer);
  const tables = new OpcodeTables(DEFINITIONS);
  const { module, handlers } = interpreterModule();
  const nothing = Object.fromEntries(IMPORTS.map((name) => [name, () => 0]));
  const { exports } = new WebAssembly.Instance(module, { h: { memory, ...nothing } });
  return {
    bytes: new Uint8Array(memory.buffer),
    view,
    decoder: new Decoder(tables),
    translator: new Translator(view, handlers, DEFINITIONS),
    templates: new Templates(memory.buffer, tables, exports['writeRecords'] as WriteRecords),
  };
}

/** The fields of a record that its handler reads. */
function fields(view: DataView, insn: Instruction): Record<string, number | bigint> {
  const { def } = insn;
  const branch = (def.operands ?? []).some((code) => code[0] === 'J');
  const usesImmediate = def.ends === true || branch || (def.operands ?? []).some((code) => /^s?I/.test(code));
  const usesSegment = insn.memory !== undefined || def.string === true || def.addressSized === true;
  return {
    handler: view.getUint32(RECORD + R.handler, true),
    pageOffset: view.getUint16(RECORD + R.pageOffset, true),
    count: view.getUint8(RECORD + R.count),
    scale: insn.memory === undefined ? 0 : view.getUint8(RECORD + R.scale),
    ab: view.getUint32(RECORD + R.a, true),
    base: view.getUint16(RECORD + R.base, true),
    index: view.getUint16(RECORD + R.index, true),
    seg: usesSegment ? view.getUint16(RECORD + R.seg, true) : 0,
    c: view.getUint16(RECORD + R.c, true),
    displacement: view.getInt32(RECORD + R.displacement, true),
    immediate: usesImmediate ? view.getBigInt64(RECORD + R.immediate, true) : 0n,
  };
}

test('a record made from a template is the one that the decoder and the translator make', () => {
  const { bytes, view, decoder, translator, templates } = rig();
  const next = random(7);
  const byte = () => Math.floor(next() * 256);
  let compared = 0;
  for (let turn = 0; turn < 200_000; turn++) {
    let at = CODE;
    while (next() < 0.45 && at < CODE + 4) bytes[at++] = PREFIXES[Math.floor(next() * PREFIXES.length)]!;
    if (next() < 0.4) bytes[at++] = 0x0f;
    while (at < CODE + 20) bytes[at++] = next() < 0.2 ? 0 : byte();
    const offset = Math.floor(next() * 4080);
    bytes.fill(0, RECORD, RECORD + 2 * RECORD_BYTES);
    // The last place of a block: what follows is not looked at.
    const done = templates.write(RECORD, CODE, MODE.fpu, offset | (BLOCK_MAX << 24));
    const insn = decoder.decode(bytes.subarray(CODE, CODE + 15), MODE)!;
    const found = done >>> 24 === BLOCK_MAX ? undefined : fields(view, insn);
    bytes.fill(0, RECORD, RECORD + 2 * RECORD_BYTES);
    translator.write(RECORD, insn, offset, BLOCK_MAX);
    if (found === undefined) {
      if (!needsPreparation(insn, offset)) templates.learn(view.getUint32(RECORD + R.handler, true), insn);
      continue;
    }
    compared++;
    const text = `${insn.def.name}: ${Buffer.from(bytes.subarray(CODE, CODE + 15)).toString('hex')}`;
    assert.deepEqual(found, fields(view, insn), text);
    assert.equal(done & 0xff_ffff, (offset + insn.length) | (insn.def.ends === true ? ENDED : 0), text);
  }
  assert.ok(compared > 100_000, `${compared} records compared`);
});

test('an instruction longer than 15 bytes has no template', () => {
  const { bytes, translator, decoder, view, templates } = rig();
  const add = [0x81, 0x84, 0x24, 1, 2, 3, 4, 5, 6, 7, 8]; // add dword [rsp + disp32], imm32
  const length = (code: readonly number[]): number => {
    bytes.set(code, CODE);
    return templates.write(RECORD, CODE, 0, BLOCK_MAX << 24) & 0xffff;
  };
  assert.equal(length(add), 0);
  const insn = decoder.decode(bytes.subarray(CODE, CODE + 15), MODE)!;
  translator.write(RECORD, insn, 0, 1);
  templates.learn(view.getUint32(RECORD + R.handler, true), insn);
  assert.equal(length(add), add.length);
  assert.equal(length([0x2e, 0x2e, 0x2e, 0x2e, ...add]), 15);
  assert.equal(length([0x2e, 0x2e, 0x2e, 0x2e, 0x2e, ...add]), 0);
});

test('a run of records ends at an unknown instruction, with its block, or before the end of the page', () => {
  const { bytes, translator, decoder, view, templates } = rig();
  const inc = [0x48, 0xff, 0xc0];
  const jump = [0xeb, 0x10];
  for (const code of [inc, jump]) {
    bytes.set(code, CODE);
    templates.write(RECORD, CODE, 0, 1 << 24);
    const insn = decoder.decode(bytes.subarray(CODE, CODE + 15), MODE)!;
    translator.write(RECORD, insn, 0, 1);
    templates.learn(view.getUint32(RECORD + R.handler, true), insn);
  }
  bytes.set([...inc, ...inc, ...jump], CODE);
  assert.equal(templates.write(RECORD, CODE, 0, 0x100 | (1 << 24)), 0x108 | ENDED | (4 << 24));
  bytes.set([...inc, 0xf4], CODE);
  assert.equal(templates.write(RECORD, CODE, 0, 0x100 | (1 << 24)), 0x103 | (2 << 24));
  bytes.set([...inc, ...inc, ...inc], CODE);
  assert.equal(templates.write(RECORD, CODE, 0, 4079 | (1 << 24)), 4082 | (2 << 24));
});
