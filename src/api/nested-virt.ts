export { hostNestsGuests } from '../host/nested-virt.ts';
