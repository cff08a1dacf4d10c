export type LogLevel = 'error' | 'warn' | 'info' | 'debug' | 'trace';

/** Where messages go; every folder gets one as an argument and none has a global. */
export type Log = (level: LogLevel, message: string) => void;

export const silentLog: Log = () => {};
