/**
 * The public surface: run a process in its own Linux microVM.
 *
 * @module krun
 */
export { KrunError, type Stage } from './api/errors.ts';
