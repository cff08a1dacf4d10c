import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { LogLevel } from '../base/log.ts';
import { createLogWriter, type LogWriterOptions } from './log-writer.ts';

const LEVELS: readonly LogLevel[] = ['error', 'warn', 'info', 'debug', 'trace'];

/** What one message of each level leaves in the file. */
function written(options: Partial<LogWriterOptions>): string {
  const folder = mkdtempSync(join(tmpdir(), 'krun-logs-'));
  try {
    const fd = openSync(join(folder, 'log'), 'w');
    const log = createLogWriter({ fd, level: 3, style: 'auto', env: {}, ...options });
    for (const level of LEVELS) log(level, `a\n${level}`);
    closeSync(fd);
    log('error', 'nobody can hear this');
    return readFileSync(join(folder, 'log'), 'utf8');
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const count = (text: string): number => text.split('\n').length - 1;

test('a level lets through itself and what is more important', () => {
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5, 99].map((level) => count(written({ level }))),
    [0, 1, 2, 3, 4, 5, 5],
  );
});

test('a message is one line with the time in microseconds', () => {
  assert.match(written({ level: 1 }), /^\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z ERROR krun\] a error\n$/);
});

test('KRUN_LOG decides over the level, RUST_LOG where it is absent', () => {
  assert.equal(count(written({ env: { KRUN_LOG: 'trace', RUST_LOG: 'off' } })), 5);
  assert.equal(count(written({ env: { RUST_LOG: 'krun=warn,vmm=error' } })), 2);
  assert.equal(count(written({ env: { KRUN_LOG: 'off' } })), 0);
  assert.equal(count(written({ env: { KRUN_LOG: 'nonsense' } })), 3);
});

test('colours are for terminals, unless they are asked for', () => {
  assert.equal(written({ style: 'auto' }).includes('\x1b['), false);
  assert.equal(written({ style: 'always' }).includes('\x1b[31mERROR'), true);
  assert.equal(written({ style: 'never', env: { KRUN_LOG_STYLE: 'always' } }).includes('\x1b['), true);
});
