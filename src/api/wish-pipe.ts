export { openWishPipe, type WishPipe } from '../host/wish-pipe.ts';
