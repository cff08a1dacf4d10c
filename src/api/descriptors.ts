export { kindOfDescriptor } from '../host/descriptors.ts';
