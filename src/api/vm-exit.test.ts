import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { test } from 'node:test';
import { type Exit, exitStatus, signalName, signalNumber } from './vm-exit.ts';

const status = (exit: Partial<Exit>) =>
  exitStatus({ reason: 'exited', code: null, signal: null, consoleTail: '', ...exit });

test('the status is what a shell would report', () => {
  assert.equal(status({ code: 7 }), 7);
  assert.equal(status({ code: 256 + 3 }), 3);
  assert.equal(status({ signal: 'SIGKILL' }), 137);
  assert.equal(status({ reason: 'timeout' }), 124);
  assert.equal(status({ reason: 'stopped' }), 130);
  assert.equal(status({ reason: 'aborted' }), 130);
  assert.equal(status({ reason: 'panic' }), 125);
  assert.equal(status({ reason: 'failed' }), 125);
});

test('signal names are those of Linux and lead back to their numbers', { skip: process.platform !== 'linux' }, () => {
  for (let number = 1; number < 32; number++) {
    const name = signalName(number) as NodeJS.Signals;
    assert.equal(constants.signals[name], number, name);
    assert.equal(signalNumber(name), number);
  }
  assert.equal(signalName(34), 'SIG34');
  assert.equal(signalNumber('SIG34'), 34);
});
