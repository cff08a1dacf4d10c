import assert from 'node:assert/strict';
import { test } from 'node:test';
import { S } from '../state/layout.ts';
import { FLAG } from '../state/state.ts';
import { AT, enterLongMode, enterProtectedMode, halves, RAM_BYTES, type TestCpu, testCpu } from '../system/system-harness.ts';

const READ = 0;
const WRITE = 1;
const USER = 2;
const FETCH = 4;
const IMPLICIT = 8;
const PAGE = 0x40_0000n; // linear; mapped through AT.pt
const FRAME = 0x20_1000;
const NX = 1n << 63n;
const P = 1n;
const RW = 2n;
const US = 4n;
const A = 0x20n;
const D = 0x40n;

/** Long mode with one 4 KiB page at PAGE. */
function withPage(entry: bigint): TestCpu {
  const cpu = testCpu();
  enterLongMode(cpu);
  cpu.ram.setBigUint64(AT.pd + 2 * 8, BigInt(AT.pt) | P | RW | US, true);
  cpu.ram.setBigUint64(AT.pt, BigInt(FRAME) | entry, true);
  return cpu;
}

function walk(cpu: TestCpu, linear: bigint, access: number): number {
  return cpu.mmu.walk(...halves(linear), access);
}

function setControl(cpu: TestCpu, bits: { cr0?: number; cr4?: number; efer?: number; clearCr0?: number }): void {
  const { state } = cpu;
  state.set32(S.cr0, (state.get32(S.cr0) | (bits.cr0 ?? 0)) & ~(bits.clearCr0 ?? 0));
  state.set32(S.cr4, state.get32(S.cr4) | (bits.cr4 ?? 0));
  cpu.mmu.updateMode();
}

const WP = 0x1_0000;
const SMEP = 0x10_0000;
const SMAP = 0x20_0000;

const MATRIX: readonly {
  name: string;
  entry: bigint;
  access: number;
  control?: Parameters<typeof setControl>[1];
  ac?: true;
  code: number | 'ok';
}[] = [
  { name: 'a supervisor read of a supervisor page', entry: P, access: READ, code: 'ok' },
  { name: 'a user read of a supervisor page', entry: P | RW, access: USER, code: 0b101 },
  { name: 'a user write of a supervisor page', entry: P | RW, access: USER | WRITE, code: 0b111 },
  { name: 'a user read of a user page', entry: P | US, access: USER, code: 'ok' },
  { name: 'a user write of a read-only page', entry: P | US, access: USER | WRITE, code: 0b111 },
  {
    name: 'a user write of a read-only page without CR0.WP',
    entry: P | US,
    access: USER | WRITE,
    control: { clearCr0: WP },
    code: 0b111,
  },
  { name: 'a supervisor write of a read-only page', entry: P, access: WRITE, code: 0b011 },
  {
    name: 'a supervisor write of a read-only page without CR0.WP',
    entry: P,
    access: WRITE,
    control: { clearCr0: WP },
    code: 'ok',
  },
  { name: 'a user fetch from an NX page', entry: P | US | NX, access: USER | FETCH, code: 0b10101 },
  { name: 'a supervisor fetch from an NX page', entry: P | NX, access: FETCH, code: 0b10001 },
  { name: 'a read of an NX page', entry: P | NX, access: READ, code: 'ok' },
  { name: 'a supervisor fetch from a user page', entry: P | US, access: FETCH, code: 'ok' },
  {
    name: 'a supervisor fetch from a user page under SMEP',
    entry: P | US,
    access: FETCH,
    control: { cr4: SMEP },
    code: 0b10001,
  },
  {
    name: 'a supervisor read of a user page under SMAP',
    entry: P | US,
    access: READ,
    control: { cr4: SMAP },
    code: 0b001,
  },
  {
    name: 'a supervisor read of a user page under SMAP with AC',
    entry: P | US,
    access: READ,
    control: { cr4: SMAP },
    ac: true,
    code: 'ok',
  },
  {
    name: 'a supervisor write of a user page under SMAP',
    entry: P | US | RW,
    access: WRITE,
    control: { cr4: SMAP },
    code: 0b011,
  },
  {
    name: 'an implicit access to a user page under SMAP with AC',
    entry: P | US,
    access: IMPLICIT,
    control: { cr4: SMAP },
    ac: true,
    code: 0b001,
  },
  { name: 'a user read of a user page under SMAP', entry: P | US, access: USER, control: { cr4: SMAP }, code: 'ok' },
  { name: 'a user read of an absent page', entry: 0n, access: USER, code: 0b100 },
  { name: 'a supervisor write of an absent page', entry: 0n, access: WRITE, code: 0b010 },
  { name: 'a fetch from an absent page', entry: 0n, access: FETCH, code: 0b10000 },
  { name: 'a read through reserved address bits', entry: P | (1n << 45n), access: READ, code: 0b1001 },
  {
    name: 'a user write through reserved address bits',
    entry: P | RW | US | (1n << 51n),
    access: USER | WRITE,
    code: 0b1111,
  },
];

for (const { name, entry, access, control, ac, code } of MATRIX) {
  test(`${name} ${code === 'ok' ? 'succeeds' : `faults with error code ${code}`}`, () => {
    const cpu = withPage(entry);
    setControl(cpu, control ?? {});
    if (ac === true) cpu.state.set32(S.flags, cpu.state.get32(S.flags) | FLAG.AC);
    const physical = walk(cpu, PAGE + 0x123n, access);
    assert.equal(physical, code === 'ok' ? FRAME + 0x123 : -1);
    if (code !== 'ok') assert.deepEqual([cpu.mmu.walker.faultVector, cpu.mmu.walker.faultCode, cpu.mmu.walker.faultLow], [14, code, 0x40_0123]);
  });
}

test('a read sets A in every level and D nowhere', () => {
  const cpu = withPage(P | RW);
  walk(cpu, PAGE, READ);
  const entries = [AT.pml4, AT.pdpt, AT.pd + 16, AT.pt].map((at) => cpu.ram.getBigUint64(at, true) & (A | D));
  assert.deepEqual(entries, [A, A, A, A]);
});

test('a write sets D in the leaf only', () => {
  const cpu = withPage(P | RW);
  walk(cpu, PAGE, WRITE);
  const entries = [AT.pml4, AT.pdpt, AT.pd + 16, AT.pt].map((at) => cpu.ram.getBigUint64(at, true) & (A | D));
  assert.deepEqual(entries, [A, A, A, A | D]);
});

test('a refused access sets no A and no D', () => {
  const cpu = withPage(P | RW);
  walk(cpu, PAGE, USER | WRITE);
  const entries = [AT.pml4, AT.pdpt, AT.pd + 16, AT.pt].map((at) => cpu.ram.getBigUint64(at, true) & (A | D));
  assert.deepEqual(entries, [0n, 0n, 0n, 0n]);
});

test('a non-canonical address raises #GP(0), on the stack #SS(0)', () => {
  const cpu = withPage(P);
  assert.equal(walk(cpu, 0x0000_8000_0000_0000n, READ), -1);
  assert.deepEqual([cpu.mmu.walker.faultVector, cpu.mmu.walker.faultCode], [13, 0]);
  assert.equal(walk(cpu, 0xffff_7fff_ffff_ffffn, 16), -1);
  assert.deepEqual([cpu.mmu.walker.faultVector, cpu.mmu.walker.faultCode], [12, 0]);
});

test('the upper half of the address space is translated by its own entries', () => {
  const cpu = withPage(P | RW);
  cpu.ram.setBigUint64(AT.pml4 + 511 * 8, BigInt(AT.pdpt) | P | RW, true);
  cpu.ram.setBigUint64(AT.pdpt + 510 * 8, BigInt(AT.pd) | P | RW, true);
  assert.equal(walk(cpu, 0xffff_ffff_8040_0042n, READ), FRAME + 0x42);
});

test('a 2 MiB page takes 21 bits of offset from the address', () => {
  const cpu = withPage(P);
  assert.equal(walk(cpu, 0x2f_ff01n, READ), 0x2f_ff01);
  assert.equal(cpu.mmu.walker.leafSize, 1);
});

test('a 2 MiB page with address bits below 21 faults as reserved', () => {
  const cpu = withPage(P);
  cpu.ram.setBigUint64(AT.pd + 3 * 8, 0x20_2000n | 0x87n, true);
  assert.equal(walk(cpu, 0x60_0000n, READ), -1);
  assert.equal(cpu.mmu.walker.faultCode, 0b1001);
});

test('a 1 GiB page takes 30 bits of offset from the address', () => {
  const cpu = withPage(P);
  cpu.ram.setBigUint64(AT.pdpt + 8, 0x83n, true);
  assert.equal(walk(cpu, 0x4012_3456n, READ), 0x12_3456);
  assert.equal(cpu.mmu.walker.leafSize, 2);
});

test('PS in a PML4 entry faults as reserved', () => {
  const cpu = withPage(P);
  cpu.ram.setBigUint64(AT.pml4, BigInt(AT.pdpt | 0x87), true);
  assert.equal(walk(cpu, PAGE, READ), -1);
  assert.equal(cpu.mmu.walker.faultCode, 0b1001);
});

test('tables outside RAM fault instead of failing', () => {
  const cpu = withPage(P);
  cpu.ram.setBigUint64(AT.pml4, BigInt(RAM_BYTES) | 7n, true);
  assert.equal(walk(cpu, PAGE, READ), -1);
});

test('32-bit paging walks two levels of four-byte entries', () => {
  const cpu = testCpu();
  enterProtectedMode(cpu);
  cpu.ram.setUint32(AT.pml4 + 4, AT.pt | 7, true);
  cpu.ram.setUint32(AT.pt + 5 * 4, FRAME | 3, true);
  cpu.state.set64(S.cr3, BigInt(AT.pml4));
  setControl(cpu, { cr0: 0x8000_0000 | WP });
  assert.equal(walk(cpu, 0x40_5abcn, WRITE), FRAME + 0xabc);
  assert.equal(cpu.ram.getUint32(AT.pt + 5 * 4, true), FRAME | 0x63);
  assert.equal(walk(cpu, 0x40_5abcn, USER), -1);
  assert.equal(cpu.mmu.walker.faultCode, 0b101);
});

test('a 4 MiB page needs CR4.PSE', () => {
  const cpu = testCpu();
  enterProtectedMode(cpu);
  cpu.ram.setUint32(AT.pml4, 0x83, true);
  cpu.state.set64(S.cr3, BigInt(AT.pml4));
  setControl(cpu, { cr0: 0x8000_0000 | WP, cr4: 0x10 });
  assert.equal(walk(cpu, 0x12_3456n, READ), 0x12_3456);
});

test('PAE paging walks three levels, and its top entries get no A bit', () => {
  const cpu = testCpu();
  enterProtectedMode(cpu);
  cpu.ram.setBigUint64(AT.pdpt + 8, BigInt(AT.pd) | 1n, true);
  cpu.ram.setBigUint64(AT.pd, BigInt(AT.pt) | 7n, true);
  cpu.ram.setBigUint64(AT.pt + 8, BigInt(FRAME) | 7n, true);
  cpu.state.set64(S.cr3, BigInt(AT.pdpt));
  setControl(cpu, { cr0: 0x8000_0000 | WP, cr4: 0x20 });
  assert.equal(walk(cpu, 0x4000_1004n, USER | WRITE), FRAME + 4);
  assert.equal(cpu.ram.getBigUint64(AT.pdpt + 8, true), BigInt(AT.pd) | 1n);
});

test('without paging a linear address is physical', () => {
  const cpu = testCpu();
  assert.equal(walk(cpu, 0xfee0_0000n, WRITE), 0xfee0_0000);
});

test('the end of the first 4 GiB is RAM where firmware is, with and without paging, for tables too', () => {
  const cpu = withPage(P | RW | US);
  const top = 0xffff_0000;
  cpu.mmu.walker.setTop(top, FRAME);
  cpu.ram.setBigUint64(AT.pt, 0xffff_3000n | P | RW, true);
  assert.equal(walk(cpu, PAGE + 0x123n, WRITE), FRAME + 0x3123);
  cpu.ram.setBigUint64(AT.pt, 0xfffe_f000n | P | RW, true);
  assert.equal(walk(cpu, PAGE + 0xfffn, READ), 0xfffe_ffff, 'below it are devices');
  cpu.ram.setBigUint64(AT.pt, 0x1_0000_0000n | P | RW, true);
  assert.equal(walk(cpu, PAGE, READ), 0x1_0000_0000, 'above it too');
  cpu.ram.setBigUint64(AT.pd + 2 * 8, BigInt(top) | P | RW, true);
  cpu.ram.setBigUint64(FRAME, 0x5000n | P | RW, true);
  assert.equal(walk(cpu, PAGE, READ), 0x5000, 'a page table in it');
  setControl(cpu, { clearCr0: 0x8000_0000 | 0 });
  assert.equal(walk(cpu, 0xffff_fff0n, FETCH), FRAME + 0xfff0);
});
