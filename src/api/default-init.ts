export { initBlob as defaultInit } from '../host/init-blob.ts';
