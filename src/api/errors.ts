export { KrunError, type Stage } from '../base/krun-error.ts';
