/** Bytes in all views together. */
export function totalLength(views: readonly Uint8Array[]): number {
  let length = 0;
  for (const view of views) length += view.length;
  return length;
}

/** The part of a list of views that begins at byte `start` and has `length` bytes, or fewer at the end. */
export function sliceViews(views: readonly Uint8Array[], start: number, length: number): readonly Uint8Array[] {
  const slices: Uint8Array[] = [];
  let skip = start;
  let left = length;
  for (const view of views) {
    if (left === 0) break;
    const take = Math.min(view.length - skip, left);
    if (take > 0) {
      slices.push(skip === 0 && take === view.length ? view : view.subarray(skip, skip + take));
      left -= take;
      skip = 0;
    } else {
      skip -= view.length;
    }
  }
  return slices;
}

/** Copies bytes into views, in order, as far as they go. */
export function scatter(bytes: Uint8Array, into: readonly Uint8Array[]): void {
  let at = 0;
  for (const view of into) {
    view.set(bytes.subarray(at, at + view.length));
    at += view.length;
  }
}

/** Copies views into bytes, in order. */
export function gather(from: readonly Uint8Array[], into: Uint8Array): void {
  let at = 0;
  for (const view of from) {
    into.set(view, at);
    at += view.length;
  }
}

/** Fills views with zeros. */
export function clear(views: readonly Uint8Array[]): void {
  for (const view of views) view.fill(0);
}
