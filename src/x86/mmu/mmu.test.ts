import assert from 'node:assert/strict';
import { test } from 'node:test';
import { JUMP_TABLE, S, TLB_TABLE, TLB_WRITE } from '../state/layout.ts';
import { FLAG } from '../state/state.ts';
import { AT, enterLongMode, halves, RAM_BYTES, raised, type TestCpu, testCpu } from '../system/system-harness.ts';

const RAM_BASE = 0x20_0000;
const PAGE = 0x40_0000n;
const FRAME = 0x20_1000;
const RW = 3n;
const USER_RW = 7n;
const GLOBAL = 0x100n;

function withPages(...entries: bigint[]): TestCpu {
  const cpu = testCpu();
  enterLongMode(cpu);
  cpu.ram.setBigUint64(AT.pd + 2 * 8, BigInt(AT.pt) | 7n, true);
  entries.forEach((entry, i) => {
    cpu.ram.setBigUint64(AT.pt + i * 8, entry, true);
  });
  return cpu;
}

function load(cpu: TestCpu, linear: bigint, bytes: number): number {
  cpu.state.set64(S.slowVa, linear);
  return cpu.mmu.slowLoad(bytes);
}

function store(cpu: TestCpu, linear: bigint, bytes: number): number {
  cpu.state.set64(S.slowVa, linear);
  return cpu.mmu.slowStore(bytes);
}

/** What generated code would find for an address: host offset or undefined. */
function tlb(cpu: TestCpu, linear: bigint, kind: 'read' | 'write'): number | undefined {
  const table = cpu.state.get32(S.tlb) + (kind === 'write' ? TLB_WRITE : 0);
  const at = table + Number((linear >> 12n) & 4095n) * 16;
  const view = new DataView(cpu.ram.buffer);
  if (view.getBigUint64(at, true) !== (linear & ~0xfffn)) return undefined;
  return (view.getInt32(at + 8, true) + halves(linear)[0]) >>> 0;
}

test('a slow load of RAM fills the read table with where the bytes are', () => {
  const cpu = withPages(BigInt(FRAME) | RW);
  assert.equal(load(cpu, PAGE + 8n, 8), RAM_BASE + FRAME + 8);
  assert.equal(tlb(cpu, PAGE + 16n, 'read'), RAM_BASE + FRAME + 16);
});

test('a load of a clean page leaves the write table alone, so that the first store sets D', () => {
  const cpu = withPages(BigInt(FRAME) | RW);
  load(cpu, PAGE, 8);
  assert.equal(tlb(cpu, PAGE, 'write'), undefined);
  store(cpu, PAGE, 8);
  assert.equal(tlb(cpu, PAGE, 'write'), RAM_BASE + FRAME);
  assert.equal(cpu.ram.getUint8(AT.pt) & 0x40, 0x40);
});

test('tables of user and supervisor code are apart', () => {
  const cpu = withPages(BigInt(FRAME) | RW);
  load(cpu, PAGE, 4);
  cpu.state.set32(S.cpl, 3);
  cpu.mmu.selectView();
  assert.equal(tlb(cpu, PAGE, 'read'), undefined);
  assert.equal(load(cpu, PAGE, 4), -1);
});

test('a system read at CPL 3 fills no user table', () => {
  const cpu = withPages(BigInt(FRAME) | RW);
  cpu.state.set32(S.cpl, 3);
  cpu.mmu.selectView();
  cpu.readSystem(PAGE, 8);
  assert.equal(tlb(cpu, PAGE, 'read'), undefined);
});

test('EFLAGS.AC under SMAP selects a view of its own', () => {
  const cpu = withPages(BigInt(FRAME) | USER_RW);
  cpu.state.set32(S.cr4, cpu.state.get32(S.cr4) | 0x20_0000);
  cpu.state.set32(S.flags, cpu.state.get32(S.flags) | FLAG.AC);
  cpu.mmu.updateMode();
  assert.equal(load(cpu, PAGE, 4), RAM_BASE + FRAME);
  cpu.state.set32(S.flags, cpu.state.get32(S.flags) & ~FLAG.AC);
  cpu.mmu.selectView();
  assert.equal(tlb(cpu, PAGE, 'read'), undefined);
  assert.equal(load(cpu, PAGE, 4), -1);
});

test('a load across two pages is assembled', () => {
  const cpu = withPages(BigInt(FRAME) | RW, BigInt(FRAME + 0x2000) | RW);
  cpu.ram.setUint32(FRAME + 0xffc, 0x4433_2211, true);
  cpu.ram.setUint32(FRAME + 0x2000, 0x8877_6655, true);
  const at = load(cpu, PAGE + 0xffcn, 8);
  assert.equal(new DataView(cpu.ram.buffer).getBigUint64(at, true), 0x8877_6655_4433_2211n);
});

test('a load whose second page is absent faults at the second page', () => {
  const cpu = withPages(BigInt(FRAME) | RW);
  assert.equal(load(cpu, PAGE + 0xffcn, 8), -1);
  assert.deepEqual([cpu.mmu.walker.faultLow, cpu.mmu.walker.faultCode], [0x40_1000, 0]);
});

test('a store across two pages changes both only when committed', () => {
  const cpu = withPages(BigInt(FRAME) | RW, BigInt(FRAME + 0x2000) | RW);
  const at = store(cpu, PAGE + 0xffcn, 8);
  new DataView(cpu.ram.buffer).setBigUint64(at, 0x1122_3344_5566_7788n, true);
  assert.equal(cpu.ram.getUint32(FRAME + 0xffc, true), 0);
  cpu.mmu.commitStore(8);
  assert.deepEqual([cpu.ram.getUint32(FRAME + 0xffc, true), cpu.ram.getUint32(FRAME + 0x2000, true)], [0x5566_7788, 0x1122_3344]);
});

test('a store across pages into a read-only one faults before anything is written', () => {
  const cpu = withPages(BigInt(FRAME) | RW, BigInt(FRAME + 0x2000) | 1n);
  assert.equal(store(cpu, PAGE + 0xffcn, 8), -1);
  assert.deepEqual([cpu.mmu.walker.faultLow, cpu.mmu.walker.faultCode], [0x40_1000, 3]);
});

test('an 8-byte MMIO load reaches the device as two of 4, and no table', () => {
  const cpu = withPages(0xfee0_0000n | RW);
  load(cpu, PAGE + 0x20n, 8);
  assert.deepEqual(cpu.mmio, [
    { gpa: 0xfee0_0020, size: 4 },
    { gpa: 0xfee0_0024, size: 4 },
  ]);
  assert.equal(tlb(cpu, PAGE, 'read'), undefined);
});

test('an MMIO store reaches the device once, when committed', () => {
  const cpu = withPages(0xd000_0000n | RW);
  const at = store(cpu, PAGE + 0x50n, 4);
  new DataView(cpu.ram.buffer).setUint32(at, 7, true);
  assert.deepEqual(cpu.mmio, []);
  cpu.mmu.commitStore(4);
  assert.deepEqual(cpu.mmio, [{ gpa: 0xd000_0050, size: 4, value: 7 }]);
});

test('RAM ends where it ends: the page above is a device', () => {
  const cpu = withPages(BigInt(RAM_BYTES) | RW);
  load(cpu, PAGE, 4);
  assert.deepEqual(cpu.mmio, [{ gpa: RAM_BYTES, size: 4 }]);
});

test('a CR3 write drops ordinary entries and keeps global ones', () => {
  const cpu = withPages(BigInt(FRAME) | RW, BigInt(FRAME) | RW | GLOBAL);
  load(cpu, PAGE, 4);
  load(cpu, PAGE + 0x1000n, 4);
  cpu.mmu.flushNonGlobal();
  assert.deepEqual([tlb(cpu, PAGE, 'read'), tlb(cpu, PAGE + 0x1000n, 'read')], [undefined, RAM_BASE + FRAME]);
});

test('the global bit means nothing without CR4.PGE', () => {
  const cpu = withPages(BigInt(FRAME) | RW | GLOBAL);
  cpu.state.set32(S.cr4, cpu.state.get32(S.cr4) & ~0x80);
  cpu.mmu.updateMode();
  load(cpu, PAGE, 4);
  cpu.mmu.flushNonGlobal();
  assert.equal(tlb(cpu, PAGE, 'read'), undefined);
});

test('a CR3 write drops more non-global entries than are tracked one by one', () => {
  const cpu = withPages(BigInt(FRAME) | RW, BigInt(FRAME) | RW | GLOBAL);
  load(cpu, PAGE + 0x1000n, 4);
  for (let i = 0; i < 5000; i++) load(cpu, PAGE, 4);
  cpu.mmu.flushNonGlobal();
  assert.deepEqual([tlb(cpu, PAGE, 'read'), tlb(cpu, PAGE + 0x1000n, 'read')], [undefined, RAM_BASE + FRAME]);
});

test('INVLPG drops one page from every view, global or not', () => {
  const cpu = withPages(BigInt(FRAME) | USER_RW | GLOBAL, BigInt(FRAME) | USER_RW);
  for (const cpl of [0, 3]) {
    cpu.state.set32(S.cpl, cpl);
    cpu.mmu.selectView();
    load(cpu, PAGE, 4);
    load(cpu, PAGE + 0x1000n, 4);
  }
  cpu.mmu.invlpg(...halves(PAGE));
  const user = tlb(cpu, PAGE, 'read');
  const other = tlb(cpu, PAGE + 0x1000n, 'read');
  cpu.state.set32(S.cpl, 0);
  cpu.mmu.selectView();
  assert.deepEqual([user, other, tlb(cpu, PAGE, 'read')], [undefined, RAM_BASE + FRAME, undefined]);
});

test('INVLPG anywhere in a 2 MiB page drops all pieces of it', () => {
  const cpu = withPages();
  load(cpu, 0x20_0000n, 4);
  load(cpu, 0x3f_f000n, 4);
  cpu.mmu.invlpg(...halves(0x21_0000n));
  assert.deepEqual([tlb(cpu, 0x20_0000n, 'read'), tlb(cpu, 0x3f_f000n, 'read')], [undefined, undefined]);
});

test('a CR3 write tells which fetched code may have moved, if any', () => {
  const cpu = withPages(BigInt(FRAME) | RW, BigInt(FRAME) | RW | GLOBAL);
  const flushes: boolean[] = [];
  cpu.mmu.onFlush = (supervisor) => void flushes.push(supervisor);
  cpu.mmu.translateFetch(...halves(PAGE + 0x1000n));
  cpu.mmu.flushNonGlobal();
  assert.deepEqual(flushes, []);
  cpu.mmu.translateFetch(...halves(PAGE));
  cpu.mmu.flushNonGlobal();
  cpu.state.set32(S.cpl, 3);
  cpu.mmu.translateFetch(...halves(0x20_0000n));
  cpu.mmu.flushNonGlobal();
  assert.deepEqual(flushes, [true, false]);
});

test('a page that becomes code leaves the write tables', () => {
  const cpu = withPages(BigInt(FRAME) | RW);
  store(cpu, PAGE, 4);
  cpu.mmu.codePages.mark(FRAME + 0x100, 16);
  assert.equal(tlb(cpu, PAGE, 'write'), undefined);
  assert.equal(store(cpu, PAGE + 0x800n, 4), RAM_BASE + FRAME + 0x800);
  assert.equal(tlb(cpu, PAGE, 'write'), undefined);
});

test('a store beside code in the same page drops nothing', () => {
  const cpu = withPages(BigInt(FRAME) | RW);
  const dropped: number[] = [];
  cpu.mmu.codePages.onInvalidate = (page) => void dropped.push(page);
  cpu.mmu.codePages.mark(FRAME + 0x100, 16);
  cpu.write(PAGE + 0x140n, 8, 1n);
  assert.deepEqual(dropped, []);
});

test('a store to code drops it after the bytes are there', () => {
  const cpu = withPages(BigInt(FRAME) | RW);
  const seen: [number, number][] = [];
  cpu.mmu.codePages.onInvalidate = (page) => void seen.push([page, cpu.ram.getUint8(FRAME + 0x13f)]);
  cpu.mmu.codePages.mark(FRAME + 0x100, 16);
  const at = store(cpu, PAGE + 0x13fn, 1);
  new DataView(cpu.ram.buffer).setUint8(at, 0x90);
  cpu.mmu.commitStore(1);
  assert.deepEqual(seen, [[FRAME, 0x90]]);
  assert.equal(cpu.mmu.codePages.hasCode(FRAME), false);
});

test('code across two pages is dropped by page', () => {
  const cpu = withPages();
  const dropped: number[] = [];
  cpu.mmu.codePages.onInvalidate = (page) => void dropped.push(page);
  cpu.mmu.codePages.mark(FRAME + 0xffe, 4);
  cpu.mmu.codePages.wrote(FRAME + 0x1000, 1);
  assert.deepEqual(dropped, [FRAME + 0x1000]);
  cpu.mmu.codePages.wrote(FRAME - 0x800, 0x4000);
  assert.deepEqual(dropped, [FRAME + 0x1000, FRAME]);
});

test('a device write outside RAM touches no code', () => {
  const cpu = withPages();
  assert.doesNotThrow(() => cpu.mmu.codePages.wrote(0xffff_f000, 0x2000));
});

test('#PF puts its linear address into CR2', () => {
  const cpu = withPages();
  assert.deepEqual(
    raised(() => cpu.read(0xffff_8000_0000_1234n, 8)),
    [14, 0],
  );
  assert.equal(cpu.state.get64(S.cr2), 0xffff_8000_0000_1234n);
});

test('the user jump cache and tables follow CPL', () => {
  const cpu = withPages();
  const kernel = [cpu.state.get32(S.tlb), cpu.state.get32(S.jumpCache)];
  cpu.state.set32(S.cpl, 3);
  cpu.mmu.selectView();
  assert.deepEqual([cpu.state.get32(S.tlb) - kernel[0]!, cpu.state.get32(S.jumpCache) - kernel[1]!], [2 * TLB_TABLE, JUMP_TABLE]);
});

test('INVLPG drops a 1 GiB page it names, and leaves one it does not', () => {
  const cpu = withPages(BigInt(FRAME) | RW);
  cpu.ram.setBigUint64(AT.pdpt + 8, 0x83n, true);
  load(cpu, 0x4000_1000n, 4);
  cpu.mmu.invlpg(...halves(PAGE));
  assert.equal(tlb(cpu, 0x4000_1000n, 'read'), RAM_BASE + 0x1000);
  cpu.mmu.invlpg(...halves(0x4010_0000n));
  assert.equal(tlb(cpu, 0x4000_1000n, 'read'), undefined);
});

test('more 1 GiB pages than are tracked make INVLPG drop everything', () => {
  const cpu = withPages(BigInt(FRAME) | RW);
  for (let i = 1; i < 40; i++) {
    cpu.ram.setBigUint64(AT.pdpt + i * 8, 0x83n, true);
    load(cpu, BigInt(i) * 0x4000_0000n + BigInt(i) * 0x1000n, 4);
  }
  cpu.mmu.invlpg(...halves(PAGE));
  assert.equal(tlb(cpu, 2n * 0x4000_0000n + 0x2000n, 'read'), undefined);
});
