import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GPR, S } from '../state/layout.ts';
import { LockstepMachine, PLACE } from './lockstep-machine.ts';

const PAGE_TABLE = 0x30_0000;
const OTHER = PLACE.code + 0x2000;
const COUNT = 1000;

/** mov eax, value; ret */
function returns(value: number): number[] {
  return [0xb8, value, 0, 0, 0, 0xc3];
}

/** A loop that adds up what a function in the next linear page returns. */
function machineWithLoop(): LockstepMachine {
  const machine = new LockstepMachine('jit', true);
  const code = new Uint8Array(8192);
  code.set([0xe8, 0xfb, 0x0f, 0, 0]); // call the next page
  code.set([0x48, 0x01, 0xc3, 0xff, 0xc9, 0x75, 0xf4, 0xf4], 5); // add rbx, rax; dec ecx; jnz; hlt
  code.set(returns(1), 4096);
  machine.load(
    code,
    new Uint8Array(4096),
    Array.from({ length: 16 }, () => 0n),
  );
  const entry = (at: number, value: number): void => new DataView(machine.ram.buffer, machine.ram.byteOffset).setBigUint64(at, BigInt(value), true);
  entry(PLACE.tables + 0x2010, PAGE_TABLE | 3);
  entry(PAGE_TABLE, PLACE.code | 3);
  mapNext(machine, PLACE.code + 0x1000);
  machine.ram.set(returns(2), OTHER);
  machine.cpu.mmu.flushAll();
  return machine;
}

function mapNext(machine: LockstepMachine, physical: number): void {
  new DataView(machine.ram.buffer, machine.ram.byteOffset).setBigUint64(PAGE_TABLE + 8, BigInt(physical | 3), true);
}

/** What the loop adds up. */
function run({ cpu }: LockstepMachine): number {
  cpu.state.rip = BigInt(PLACE.code);
  cpu.state.setGpr(GPR.RCX, BigInt(COUNT));
  cpu.state.setGpr(GPR.RBX, 0n);
  cpu.state.setGpr(4, BigInt(PLACE.stack));
  cpu.state.set32(S.shadow, 0);
  for (let i = 0; i < 100 && cpu.run(1000) === 'budget'; i++);
  assert.equal(cpu.halted, true);
  return Number(cpu.state.gpr(GPR.RBX)) / COUNT;
}

test('a region with a function of another page is left when that page is mapped elsewhere', () => {
  const machine = machineWithLoop();
  assert.equal(run(machine), 1);
  assert.equal(run(machine), 1);
  assert.ok(machine.cpu.jit!.regionsAcrossPages > 0, 'no region spans pages');
  mapNext(machine, OTHER);
  machine.cpu.mmu.invlpg(PLACE.code + 0x1000, 0);
  assert.equal(run(machine), 2);
  mapNext(machine, PLACE.code + 0x1000);
  machine.cpu.mmu.invlpg(PLACE.code + 0x1000, 0);
  assert.equal(run(machine), 1);
});

test('a region is dropped when code of any of its pages is written', () => {
  const machine = machineWithLoop();
  assert.equal(run(machine), 1);
  assert.equal(run(machine), 1);
  assert.ok(machine.cpu.jit!.regionsAcrossPages > 0, 'no region spans pages');
  machine.ram[PLACE.code + 0x1001] = 3;
  machine.cpu.mmu.codePages.wrote(PLACE.code + 0x1001, 1);
  assert.equal(run(machine), 3);
});
