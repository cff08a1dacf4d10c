import { writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import type { Log, LogLevel } from '../base/log.ts';

/** Levels in order of importance; a filter's number is how many of them pass. */
const LEVELS: readonly LogLevel[] = ['error', 'warn', 'info', 'debug', 'trace'];
const COLOURS: Readonly<Record<LogLevel, number>> = { error: 31, warn: 33, info: 32, debug: 34, trace: 36 };

export interface LogWriterOptions {
  readonly fd: number;
  /** 0 nothing, 1 errors, … 5 everything. */
  readonly level: number;
  readonly style: 'auto' | 'always' | 'never';
  /** Where KRUN_LOG, RUST_LOG and their _STYLE twins are looked up; empty to ignore them. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** A log of one line per message, with the time in microseconds, on a descriptor. */
export function createLogWriter({ fd, level, style, env }: LogWriterOptions): Log {
  const passing = levelFromEnv(env['KRUN_LOG'] ?? env['RUST_LOG']) ?? Math.min(level, LEVELS.length);
  const styleNow = styleFromEnv(env['KRUN_LOG_STYLE'] ?? env['RUST_LOG_STYLE']) ?? style;
  const coloured = styleNow === 'always' || (styleNow === 'auto' && isatty(fd) && !env['NO_COLOR']);
  return (messageLevel, message) => {
    if (LEVELS.indexOf(messageLevel) >= passing) return;
    const name = messageLevel.toUpperCase().padEnd(5);
    const shown = coloured ? `\x1b[${COLOURS[messageLevel]}m${name}\x1b[0m` : name;
    try {
      writeSync(fd, `[${timestamp()} ${shown} krun] ${message.replaceAll('\n', ' ')}\n`);
    } catch {
      // A log that cannot be written must not end a machine.
    }
  };
}

/** `debug`, or env_logger's `target=level,…` of which the strongest counts. */
function levelFromEnv(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined;
  const found = text.split(',').map((item) => {
    const name = item
      .slice(item.indexOf('=') + 1)
      .trim()
      .toLowerCase();
    return name === 'off' ? 0 : LEVELS.indexOf(name as LogLevel) + 1 || -1;
  });
  const strongest = Math.max(...found);
  return strongest < 0 ? undefined : strongest;
}

function styleFromEnv(text: string | undefined): LogWriterOptions['style'] | undefined {
  return text === 'auto' || text === 'always' || text === 'never' ? text : undefined;
}

function timestamp(): string {
  const micros = Math.floor((performance.timeOrigin + performance.now()) * 1000);
  return new Date(Math.floor(micros / 1000)).toISOString().replace('Z', `${String(micros % 1000).padStart(3, '0')}Z`);
}
