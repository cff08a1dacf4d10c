import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { S } from '../state/layout.ts';
import { GuestException, VECTOR } from '../system/exception.ts';
import { X87 } from './x87.ts';
import { CODE, MEMORY, X87Harness } from './x87-harness.ts';

const CR0 = S.cr0;
const ONE = { sig: 1n << 63n, high: 0x3fff };

let cpu = new X87Harness();
beforeEach(() => {
  cpu = new X87Harness();
});

const fld1 = (): void => cpu.run(0xd9, 0xe8);
const fldz = (): void => cpu.run(0xd9, 0xee);
const fdivp = (): void => cpu.run(0xde, 0xf9);
const bytes = (length: number): string => Buffer.from(cpu.memory.buffer, 0, length).toString('hex');

/** Leaves an unmasked divide by zero behind. */
function divideByZero(): void {
  cpu.state.set32(S.fcw, 0x37b);
  fld1();
  fldz();
  fdivp();
}

const isMF = (error: unknown): boolean => error instanceof GuestException && error.vector === VECTOR.MF;
const isUD = (error: unknown): boolean => error instanceof GuestException && error.vector === VECTOR.UD;

test('every x87 encoding is defined once', () => {
  const encodings = X87.map(({ opcode }) => opcode);
  assert.equal(new Set(encodings).size, encodings.length);
});

test('an unmasked exception is reported by the next waiting instruction, not by the one that raised it', () => {
  divideByZero();
  assert.equal(cpu.state.get32(S.fsw) & 0x80ff, 0x8084);
  assert.throws(fld1, isMF);
  assert.throws(() => cpu.run(0x9b, 0xc0), isMF);
  assert.throws(() => cpu.run(0xd9, 0x2e), isMF); // FLDCW waits
});

test('instructions that do not wait run with an exception pending', () => {
  divideByZero();
  cpu.run(0xdf, 0xe0); // FNSTSW AX
  assert.equal(cpu.state.gpr(0) & 0xffn, 0x84n);
  cpu.run(0xdb, 0xe2); // FNCLEX
  fld1();
  assert.equal(cpu.state.get32(S.fsw) & 0x80ff, 0);
});

test('with CR0.NE clear a pending exception stops nothing', () => {
  cpu.state.set64(CR0, 1n);
  divideByZero();
  fld1();
});

test('FWAIT raises #NM only if CR0.TS and CR0.MP are both set', () => {
  cpu.state.set64(CR0, 0x29n);
  cpu.run(0x9b, 0xc0);
  cpu.state.set64(CR0, 0x2bn);
  assert.throws(
    () => cpu.run(0x9b, 0xc0),
    (error) => error instanceof GuestException && error.vector === VECTOR.NM,
  );
});

test('FLDCW that unmasks a raised exception makes it pending', () => {
  fld1();
  fldz();
  fdivp();
  cpu.memory.setUint16(0, 0x037b, true);
  cpu.run(0xd9, 0x2e);
  assert.equal(cpu.state.get32(S.fsw) & 0x8080, 0x8080);
});

test('FLDCW keeps bit 6 set and reserved bits clear', () => {
  cpu.memory.setUint16(0, 0xffff, true);
  cpu.run(0xd9, 0x2e);
  assert.equal(cpu.state.get32(S.fcw), 0x1f7f);
  cpu.memory.setUint16(0, 0, true);
  cpu.run(0xd9, 0x2e);
  assert.equal(cpu.state.get32(S.fcw), 0x0040);
});

test('FNSTENV stores what a Zen 3 stores, except for selectors, and masks all exceptions', () => {
  fldMemory(3);
  fldz();
  fld1();
  cpu.run(0xd9, 0x36);
  // FIP, FOP of FLD1, and FDP of the load before it; FTW: R7 valid, R6 zero, R5 valid.
  assert.equal(bytes(28), '7f03ffff0028ffffff13ffff001040000000e801000001000000ffff');
});

test('FNSTENV with a 16-bit operand is the same in 14 bytes', () => {
  fldMemory(3);
  fldz();
  fld1();
  cpu.operandSize = 16;
  cpu.run(0xd9, 0x36);
  assert.equal(bytes(14), '7f030028ff13001000000000' + '0000');
});

test('FNSTENV in real mode stores linear addresses and the opcode, which FLDENV takes back', () => {
  cpu.state.set64(CR0, 0x20n);
  cpu.bits = 16;
  fldMemory(3);
  fld1();
  cpu.operandSize = 16;
  cpu.run(0xd9, 0x36);
  // CODE is 0x401000: four bits more than the 16-bit layout has.
  assert.equal(bytes(14), '7f030030ff0f0010e80100000010');
  cpu.operandSize = 32;
  cpu.run(0xd9, 0x36);
  assert.equal(bytes(28), '7f03ffff0030ffffff0fffff0010ffffe80104000000ffff00100000');
  cpu.state.set64(S.fip, 0n);
  cpu.run(0xd9, 0x26);
  assert.equal(cpu.state.get64(S.fip), CODE);
  assert.equal(cpu.state.get32(S.fop), 0x1e8);
  assert.equal(cpu.state.get64(S.fdp), MEMORY);
});

test('FRSTOR brings back what FNSAVE stored, and FNSAVE leaves the unit initialized', () => {
  for (let i = 0; i < 5; i++) fldMemory(i + 0.1);
  const saved = snapshot();
  cpu.run(0xdd, 0x36);
  assert.deepEqual(
    [S.fcw, S.fsw, S.ftw, S.fop].map((slot) => cpu.state.get32(slot)),
    [0x37f, 0, 0, 0],
  );
  for (let r = 0; r < 8; r++) cpu.state.bytes.fill(0x55, S.st + r * 16, S.st + r * 16 + 10);
  cpu.run(0xdd, 0x26);
  assert.deepEqual(snapshot(), saved);
});

test('FLDENV loads a status word whose summary bits follow the masks', () => {
  cpu.memory.setUint16(0, 0x37f, true);
  cpu.memory.setUint16(4, 0x7fff, true);
  cpu.run(0xd9, 0x26);
  assert.equal(cpu.state.get32(S.fsw), 0x7f7f);
});

test('a load whose memory faults changes nothing', () => {
  fld1();
  const before = snapshot();
  const fault = new GuestException(VECTOR.PF, 0);
  cpu.onAccess = () => {
    throw fault;
  };
  for (const [opcode, modrm] of [
    [0xd9, 0x06],
    [0xdd, 0x06],
    [0xdb, 0x2e],
    [0xd8, 0x06],
    [0xdf, 0x3e],
    [0xdd, 0x1e],
    [0xdb, 0x3e],
    [0xdf, 0x36],
    [0xd9, 0x26],
    [0xdd, 0x26],
    [0xdd, 0x36],
    [0xd9, 0x36],
    [0xd9, 0x2e],
  ] as const) {
    assert.throws(
      () => cpu.run(opcode, modrm),
      (error) => error === fault,
    );
    assert.deepEqual(snapshot(), before, `${opcode.toString(16)} ${modrm.toString(16)}`);
  }
});

test('encodings without an instruction raise #UD', () => {
  for (const [opcode, modrm] of [
    [0xd9, 0xd1],
    [0xd9, 0xe2],
    [0xd9, 0xe6],
    [0xd9, 0xef],
    [0xda, 0xe8],
    [0xdb, 0xe5],
    [0xde, 0xd8],
    [0xdf, 0xe1],
  ] as const) {
    assert.throws(() => cpu.run(opcode, modrm), isUD);
  }
});

test('in 64-bit mode FIP and FDP are 64 bits wide and ignore the segments without a base there', () => {
  cpu.state.set64(S.segBase + 8, 0x1000n);
  cpu.state.set64(S.segBase + 24, 0x1000n);
  fldMemory(1);
  assert.equal(cpu.state.get64(S.fip), CODE);
  assert.equal(cpu.state.get64(S.fdp), MEMORY);
  cpu.bits = 32;
  fldMemory(1);
  assert.equal(cpu.state.get64(S.fip), CODE - 0x1000n);
  assert.equal(cpu.state.get64(S.fdp), MEMORY - 0x1000n);
});

test('a push onto a full stack sets C1 and SF and loads the default NaN', () => {
  for (let i = 0; i < 9; i++) fld1();
  assert.equal(cpu.state.get32(S.fsw) & 0x247, 0x241);
  const top = (cpu.state.get32(S.fsw) >> 11) & 7;
  assert.equal(cpu.state.get64(S.st + top * 16), 3n << 62n);
  assert.equal(cpu.state.get32(S.st + top * 16 + 8), 0xffff);
});

test('FLD1 pushes 1.0 onto R7', () => {
  fld1();
  assert.deepEqual({ sig: cpu.state.get64(S.st + 112), high: cpu.state.get32(S.st + 120) }, ONE);
  assert.equal(cpu.state.get32(S.ftw), 0x80);
});

function fldMemory(value: number): void {
  cpu.memory.setFloat64(0, value, true);
  cpu.run(0xdd, 0x06);
}

function snapshot(): string {
  return Buffer.from(cpu.state.bytes.subarray(S.st, S.mxcsr)).toString('hex');
}
