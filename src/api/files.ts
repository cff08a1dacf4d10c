export { isReadableFile, pathExists } from '../host/files.ts';
