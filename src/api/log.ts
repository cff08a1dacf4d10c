export type { Log, LogLevel } from '../base/log.ts';
export { createLogWriter, type LogWriterOptions } from '../host/log-writer.ts';
