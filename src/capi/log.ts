import { createLogWriter } from '../api/log.ts';
import { type Log, silentLog } from '../base/log.ts';
import { int, unsigned } from './arguments.ts';
import { checking } from './contexts.ts';
import { EINVAL } from './errno.ts';

/** Log constants. @spec LIBKRUN-H KRUN_LOG_* */
export const KRUN_LOG_TARGET_DEFAULT = -1;
export const KRUN_LOG_LEVEL_OFF = 0;
export const KRUN_LOG_LEVEL_ERROR = 1;
export const KRUN_LOG_LEVEL_WARN = 2;
export const KRUN_LOG_LEVEL_INFO = 3;
export const KRUN_LOG_LEVEL_DEBUG = 4;
export const KRUN_LOG_LEVEL_TRACE = 5;
export const KRUN_LOG_STYLE_AUTO = 0;
export const KRUN_LOG_STYLE_ALWAYS = 1;
export const KRUN_LOG_STYLE_NEVER = 2;
export const KRUN_LOG_OPTION_NO_ENV = 1;

const STYLES = ['auto', 'always', 'never'] as const;
const STDERR = 2;

let current: Log = silentLog;

/** Where this interface writes; nothing before one of the functions below was called. */
export const log: Log = (level, message) => current(level, message);

/** Logs to standard error from 0 (nothing) to 5 (everything). Always 0. @quirk a second call replaces the first */
export function krun_set_log_level(level: number): number {
  return checking(() => {
    current = createLogWriter({ fd: STDERR, level: unsigned(level, 32), style: 'auto', env: process.env });
    return 0;
  });
}

/** The same with a descriptor of its own, a style, and the choice to ignore KRUN_LOG. 0 or -EINVAL. */
export function krun_init_log(target_fd: number, level: number, style: number, options: number): number {
  return checking(() => {
    const fd = int(target_fd);
    const named = STYLES[unsigned(style, 32)];
    const flags = unsigned(options, 32);
    if (fd < KRUN_LOG_TARGET_DEFAULT || fd === 0 || named === undefined || flags > KRUN_LOG_OPTION_NO_ENV)
      return -EINVAL;
    current = createLogWriter({
      fd: fd === KRUN_LOG_TARGET_DEFAULT ? STDERR : fd,
      level: unsigned(level, 32),
      style: named,
      env: flags === KRUN_LOG_OPTION_NO_ENV ? {} : process.env,
    });
    return 0;
  });
}
