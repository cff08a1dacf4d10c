import assert from 'node:assert/strict';
import { test } from 'node:test';
import { softHost } from '../../dist/host/soft-host.js';
import { softMachine } from '../soft-machine.ts';
import { Assembly, AT, flatKernel } from './flat-guest.ts';

const COUNT = AT.scratch;
const DEEPEST = AT.scratch + 8;
const DEPTH = AT.scratch + 16;
const ICR = 0xfee0_0300;
/** To itself, as an NMI. */
const SELF_NMI = 0x4_4400;

/** INC or DEC of a counter; RDI is lost. */
function count(p: Assembly, at: number, down = false): Assembly {
  return p.set(7, at).raw(0x48, 0xff, down ? 0x0f : 0x07);
}

test('an NMI is delivered with interrupts off, and one that comes in its handler waits for IRET', async () => {
  const handler = new Assembly(AT.scratch + 0x100);
  count(handler, COUNT);
  count(handler, DEPTH);
  handler.load(DEPTH).set(7, DEEPEST).raw(0x48, 0x39, 0x07, 0x73, 0x03, 0x48, 0x89, 0x07); // keep the larger
  handler.load(COUNT).raw(0x48, 0x83, 0xf8, 3, 0x73, 26); // cmp rax, 3; jae past the store
  const before = handler.here;
  handler.store(ICR, SELF_NMI, 4).raw(0x90, 0x90, 0x90, 0x90);
  assert.equal(handler.here - before, 26);
  count(handler, DEPTH, true).raw(0x48, 0xcf);
  const kernel = flatKernel({
    onInterrupt: AT.scratch + 0x100,
    write: (p) => {
      p.raw(0xfa).store(0xfee0_00f0, 0x1ff, 4).store(ICR, SELF_NMI, 4);
      const again = p.here;
      p.load(COUNT).raw(0x48, 0x83, 0xf8, 3, 0x0f, 0x82);
      p.raw(...[0, 8, 16, 24].map((shift) => ((again - (p.here + 4)) >> shift) & 0xff)).halt();
    },
  });
  kernel.bytes.set(handler.bytes, AT.scratch + 0x100 - AT.load);
  const here = await softMachine({ kernel, host: softHost, memoryBytes: 20 << 20 });
  const timer = setTimeout(() => here.machine.stop(), 3000);
  const { reason } = await here.machine.run();
  clearTimeout(timer);
  assert.equal(reason, 'halted');
  assert.equal(here.vm.memory.readU32(COUNT), 3);
  assert.equal(here.vm.memory.readU32(DEEPEST), 1, 'handlers do not nest');
});
