import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Program, SEL } from '../interp/program-harness.ts';
import { GPR, SEG } from '../state/layout.ts';
import { VECTOR } from './exception.ts';

const END = [0xcd, 0x80];

class Stop extends Error {}

/** Vector of the first event, or undefined. */
function first(p: Program): number | undefined {
  p.onEvent = () => {
    throw new Stop();
  };
  try {
    p.run();
  } catch (error) {
    if (!(error instanceof Stop)) throw error;
  }
  return p.events[0]?.vector;
}

test('an access that reaches beyond the limit with its last byte is refused', () => {
  assert.equal(first(new Program('real', [0xa1, 0xfe, 0xff, ...END])), undefined); // mov ax,[0xfffe]
  assert.equal(first(new Program('real', [0xa1, 0xff, 0xff, ...END])), VECTOR.GP);
  assert.equal(first(new Program('real', [0x8a, 0x06, 0xff, 0xff, ...END])), undefined); // mov al,[0xffff]
  assert.equal(first(new Program('real', [0x66, 0x8b, 0x06, 0xfd, 0xff, ...END])), VECTOR.GP); // mov eax,[0xfffd]
  assert.equal(first(new Program('real', [0x36, 0x8b, 0x06, 0xff, 0xff, ...END])), VECTOR.SS); // mov ax,ss:[0xffff]
});

test('LEA computes addresses that nothing may access', () => {
  const p = new Program('real', [0x8d, 0x06, 0xff, 0xff, ...END]);
  assert.equal(first(p), undefined);
  assert.equal(p.reg(GPR.RAX) & 0xffffn, 0xffffn);
});

test('a segment with a null selector cannot be accessed', () => {
  const p = new Program('protected', [0x8b, 0x03, ...END]);
  p.cpu.state.setSegment(SEG.DS, { selector: 0, base: 0n, limit: 0, attributes: 0 });
  assert.equal(first(p), VECTOR.GP);
});

test('an expand-down segment begins behind its limit', () => {
  const at = (offset: number): number | undefined => {
    const p = new Program('protected', [0x8b, 0x03, ...END]).setReg(GPR.RBX, offset);
    p.cpu.state.setSegment(SEG.DS, { selector: SEL.data, base: 0n, limit: 0xfff, attributes: 0xc097 });
    return first(p);
  };
  assert.deepEqual([at(0xffc), at(0xfff), at(0x1000), at(0x20_0000)], [VECTOR.GP, VECTOR.GP, undefined, undefined]);
});
