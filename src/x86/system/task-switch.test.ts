import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AT, Program, type ProgramEvent, SEL } from '../interp/program-harness.ts';
import { GPR, S, SEG } from '../state/layout.ts';
import { FLAG } from '../state/state.ts';
import { VECTOR } from './exception.ts';

const END = [0xcd, 0x80];
const MARK = [0xcd, 0x40]; // int 0x40
const TASK = 0x58;
const GATE = 0x60;
const TASK_CODE = AT.code + 0x100;
const TASK_STACK = 0x3_8000;
const CALL = [0x9a, 0, 0, 0, 0, TASK, 0];
const JUMP = [0xea, 0, 0, 0, 0, TASK, 0];

interface Task {
  readonly wide?: boolean;
  readonly type?: number;
  readonly limit?: number;
  readonly cs?: number;
  readonly ds?: number;
  readonly ss?: number;
  readonly eflags?: number;
  readonly trap?: boolean;
  readonly code?: readonly number[];
}

/** A 32-bit program and a second task. */
function withTask(code: readonly number[], task: Task = {}): Program {
  const p = new Program('protected', code);
  const { wide = true, type = wide ? 0x89 : 0x81, limit = wide ? 0x67 : 0x2b, eflags = 2, cs = SEL.code32, ds = SEL.data, ss = SEL.data } = task;
  p.descriptor(TASK, BigInt(limit) | (BigInt(AT.otherTss) << 16n) | (BigInt(type) << 40n));
  p.descriptor(GATE, (BigInt(TASK) << 16n) | (0x85n << 40n));
  p.ram.set(task.code ?? MARK, TASK_CODE);
  const put = (offset: number, value: number): void => {
    if (wide) p.view.setUint32(AT.otherTss + offset, value, true);
    else p.view.setUint16(AT.otherTss + offset, value, true);
  };
  const at = wide ? { eip: 0x20, flags: 0x24, eax: 0x28, esp: 0x38, es: 0x48, step: 4 } : { eip: 0xe, flags: 0x10, eax: 0x12, esp: 0x1a, es: 0x22, step: 2 };
  put(at.eip, wide ? TASK_CODE : 0);
  put(at.flags, eflags);
  put(at.eax, 0xa5a5);
  put(at.esp, TASK_STACK & (wide ? -1 : 0xffff));
  const selectors = [ds, cs, ss, ds, 0, 0];
  for (let i = 0; i < (wide ? 6 : 4); i++) put(at.es + i * at.step, selectors[i]!);
  if (wide) p.view.setUint16(AT.otherTss + 0x64, task.trap === true ? 1 : 0, true);
  return p;
}

function typeOf(p: Program, selector: number): number {
  return p.ram[AT.gdt + selector + 5]! & 0xf;
}

/** The first event, as [vector, error code, EIP]. */
function first(p: Program): [number, number | undefined, number] {
  p.onEvent = () => {
    throw new Stop();
  };
  assert.throws(() => p.run(), Stop);
  const { vector, errorCode, rip } = p.events[0]!;
  return [vector, errorCode, rip];
}

class Stop extends Error {}

test('CALL to a TSS nests the task, and its IRET comes back with all registers', () => {
  // The task: mark; iret; mark; jmp to where it began
  const p = withTask([...CALL, ...END], { code: [...MARK, 0xcf] });
  p.setReg(GPR.RAX, 0x1111_1111).setReg(GPR.RBP, 0x2222_2222);
  const seen: unknown[] = [];
  p.onEvent = ({ rflags, rip }) => {
    const { state } = p.cpu;
    seen.push([rip, state.selector(SEG.TR), p.reg(GPR.RAX), p.reg(GPR.RSP), rflags & FLAG.NT, p.view.getUint16(AT.otherTss, true)]);
    assert.deepEqual([typeOf(p, SEL.tss), typeOf(p, TASK)], [0xb, 0xb]);
    assert.equal(state.get32(S.cr0) & 8, 8);
    assert.equal(p.view.getUint32(AT.tss + 0x20, true), AT.code + CALL.length);
    assert.equal(p.view.getUint32(AT.tss + 0x28, true), 0x1111_1111);
  };
  p.run();
  assert.deepEqual(seen, [[TASK_CODE + 2, TASK, 0xa5a5n, BigInt(TASK_STACK - 12), FLAG.NT, SEL.tss]]);
  assert.equal(p.cpu.state.selector(SEG.TR), SEL.tss);
  assert.deepEqual([typeOf(p, SEL.tss), typeOf(p, TASK)], [0xb, 9]);
  assert.deepEqual([p.reg(GPR.RAX), p.reg(GPR.RBP)], [0x1111_1111n, 0x2222_2222n]);
  // The nested task stands behind its IRET, with NT off.
  assert.equal(p.view.getUint32(AT.otherTss + 0x20, true), TASK_CODE + 3);
  assert.equal(p.view.getUint32(AT.otherTss + 0x24, true) & FLAG.NT, 0);
});

test('JMP to a TSS passes the busy bit on, and there is no way back but another JMP', () => {
  const back = [0xea, 0, 0, 0, 0, SEL.tss, 0];
  const p = withTask([...JUMP, ...END], { code: [...MARK, ...back] });
  p.onEvent = ({ rflags }) => {
    assert.deepEqual([typeOf(p, SEL.tss), typeOf(p, TASK), rflags & FLAG.NT], [9, 0xb, 0]);
  };
  assert.equal(p.run().length, 1);
  assert.deepEqual([typeOf(p, SEL.tss), typeOf(p, TASK)], [0xb, 9]);
});

test('a task gate in the GDT leads to its TSS', () => {
  const p = withTask([0x9a, 0, 0, 0, 0, GATE, 0, ...END], { code: [...MARK, 0xcf] });
  assert.equal(p.run().length, 1);
});

test('a task gate in the IDT takes an exception, with the error code on the stack of its task', () => {
  // mov ds, 0xf8, which lies beyond the table; the task: pop eax; mark; iret
  const p = withTask([0xb8, 0xf8, 1, 0, 0, 0x8e, 0xd8, ...END], { code: [0x58, ...MARK, 0xcf] });
  p.setGate(VECTOR.GP, 0, TASK, 0x85);
  p.onEvent = ({ vector }) => {
    assert.deepEqual([vector, p.reg(GPR.RAX)], [0x40, 0x1f8n]);
    assert.equal(p.view.getUint32(AT.tss + 0x20, true), AT.code + 5);
    assert.equal(p.view.getUint32(AT.tss + 0x24, true) & FLAG.RF, FLAG.RF);
    p.view.setUint32(AT.tss + 0x20, AT.code + 7, true); // behind the fault
  };
  assert.equal(p.run().length, 1);
});

test('INT n goes through a task gate when its privilege allows it', () => {
  const p = withTask([0xcd, 0x50, ...END], { code: [...MARK, 0xcf] });
  p.setGate(0x50, 0, TASK, 0x85);
  assert.equal(p.run().length, 1);
});

test('a 16-bit TSS holds 16-bit registers', () => {
  const p = withTask([...CALL, ...END], { wide: false, cs: 0x68, code: [0xcd, 0x40, 0xcf] });
  p.descriptor(0x68, 0x0000_9b04_0100_ffffn); // 16-bit code at TASK_CODE
  p.onEvent = ({ rip }) => {
    assert.equal(rip, 2);
    assert.equal(p.reg(GPR.RAX) & 0xffffn, 0xa5a5n);
    assert.equal(p.cpu.state.selector(SEG.TR), TASK);
  };
  p.descriptor(0x70, 0x0000_9303_0000_ffffn);
  p.view.setUint16(AT.otherTss + 0x26, 0x70, true);
  p.view.setUint16(AT.otherTss + 0x1a, 0x8000, true);
  assert.equal(p.run().length, 1);
  assert.equal(p.cpu.state.selector(SEG.TR), SEL.tss);
});

test('what is wrong with a TSS is reported before the switch', () => {
  assert.deepEqual(first(withTask(CALL, { type: 0x8b })), [VECTOR.GP, TASK, AT.code]);
  assert.deepEqual(first(withTask(CALL, { type: 0x09 })), [VECTOR.NP, TASK, AT.code]);
  assert.deepEqual(first(withTask(CALL, { limit: 0x66 })), [VECTOR.TS, TASK, AT.code]);
  assert.deepEqual(first(withTask(CALL, { wide: false, limit: 0x2a })), [VECTOR.TS, TASK, AT.code]);
});

test('what is wrong with the segments of a task is reported in the task itself', () => {
  assert.deepEqual(first(withTask(CALL, { cs: 0 })), [VECTOR.TS, 0, TASK_CODE]);
  assert.deepEqual(first(withTask(CALL, { cs: SEL.data })), [VECTOR.TS, SEL.data, TASK_CODE]);
  assert.deepEqual(first(withTask(CALL, { ds: SEL.tss })), [VECTOR.TS, SEL.tss, TASK_CODE]);
});

test('IRET of a nested task needs a busy TSS to return to', () => {
  // pushf; or word [esp],0x4000; popf; iret
  const code = [0x9c, 0x66, 0x81, 0x0c, 0x24, 0, 0x40, 0x9d, 0xcf];
  const p = withTask(code);
  p.view.setUint16(AT.tss, TASK, true);
  assert.deepEqual(first(p), [VECTOR.TS, TASK, AT.code + 8]);
});

test('the T bit of a TSS reports #DB in the task before its first instruction', () => {
  const p = withTask([...CALL, ...END], { trap: true, code: [0x90, ...MARK, 0xcf] });
  const [event] = p.run() as [ProgramEvent];
  assert.deepEqual([event.vector, event.rip, event.dr6 & 0x8000], [VECTOR.DB, TASK_CODE, 0x8000]);
});

test('IA-32e mode has no task switches', () => {
  const p = new Program('long', [0x48, 0xff, 0x2b, ...END]).setReg(GPR.RBX, AT.data);
  p.descriptor(TASK, 0x0000_8900_3800_0067n);
  p.view.setUint16(AT.data + 8, TASK, true);
  assert.deepEqual(first(p), [VECTOR.GP, TASK, AT.code]);
});
