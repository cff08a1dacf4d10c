import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CpuResult, emptyState } from '../../testing/executor.ts';
import { LAYOUT, MEMORY_WINDOWS } from '../../testing/layout.ts';
import { CaseExecutor } from '../interp/case-harness.ts';
import { S } from '../state/layout.ts';
import { VECTOR } from '../system/exception.ts';

const executor = new CaseExecutor();
const RDI = 7;
const MASKMOVDQU = [0x66, 0x0f, 0xf7, 0xc1]; // xmm0, xmm1
const MASKMOVQ = [0x0f, 0xf7, 0xc1]; // mm0, mm1
const edge = MEMORY_WINDOWS.find(({ name }) => name === 'edge')!;

/** Runs a masked store of 01 02 03 ... with the selected bytes in the mask. */
function run(bytes: readonly number[], rdi: number, selected: readonly number[]): CpuResult {
  const before = emptyState();
  before.rip = BigInt(LAYOUT.instruction);
  before.gpr[RDI] = BigInt(rdi);
  for (let i = 0; i < 16; i++) before.xmm[i] = i + 1;
  for (const i of selected) before.xmm[16 + i] = 0x80;
  for (let i = 0; i < 8; i++) before.st[i] = i + 1;
  for (const i of selected) if (i < 8) before.st[10 + i] = 0x80;
  return executor.execute({ bytes: Uint8Array.from(bytes), before });
}

test('MASKMOVDQU writes up to the end of a page when no byte beyond is selected', () => {
  // The page that follows is not there.
  const { fault, after } = run(MASKMOVDQU, LAYOUT.holePage - 8, [0, 7]);
  assert.equal(fault, undefined);
  const end = edge.offset + edge.length;
  assert.deepEqual([...after.memory.subarray(end - 8, end)], [1, 0, 0, 0, 0, 0, 0, 8]);
});

test('MASKMOVDQU raises #PF with the address of a selected byte that is not there', () => {
  const { fault } = run(MASKMOVDQU, LAYOUT.holePage - 8, [10]);
  assert.equal(fault?.vector, VECTOR.PF);
  assert.equal(fault.address, BigInt(LAYOUT.holePage + 2));
});

test('MASKMOVDQU writes nothing with an empty mask, wherever RDI points', () => {
  const { fault, after } = run(MASKMOVDQU, 0, []);
  assert.equal(fault, undefined);
  assert.ok(after.memory.every((byte) => byte === 0));
});

test('MASKMOVQ writes selected bytes of eight and enters MMX state', () => {
  const { fault, after } = run(MASKMOVQ, edge.address, [1, 6]);
  assert.equal(fault, undefined);
  assert.deepEqual([...after.memory.subarray(edge.offset, edge.offset + 9)], [0, 2, 0, 0, 0, 0, 7, 0, 0]);
  assert.equal(executor.cpu.state.get32(S.ftw), 0xff);
});
