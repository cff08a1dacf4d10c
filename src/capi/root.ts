import { defaultInit } from '../api/default-init.ts';
import { BadArgument, type CString, text, textOrNull, unsigned } from './arguments.ts';
import { type Context, checking, type OverlayNode, type Share, withContext } from './contexts.ts';
import { EINVAL, ENOENT, ENOTDIR } from './errno.ts';

/** The tag that makes a share the guest's root. @spec LIBKRUN-H KRUN_FS_ROOT_TAG */
export const KRUN_FS_ROOT_TAG = '/dev/root';

/** The name under which the init program lies over a root share. */
const INIT_NAME = 'init.krun';

/** A C out-parameter. */
export interface Out<T> {
  value: T;
}

/** The host directory that becomes the guest's root, read-write. Its path is not looked at before the start. */
export function krun_set_root(ctx_id: number, root_path: CString): number {
  return checking(() => {
    const path = text(root_path);
    return withContext(ctx_id, (context) => addShare(context, KRUN_FS_ROOT_TAG, path, false));
  });
}

/** Shares a host directory, read-write, under a tag. */
export function krun_add_virtiofs(ctx_id: number, c_tag: CString, c_path: CString): number {
  return krun_add_virtiofs3(ctx_id, c_tag, c_path, 0, false);
}

/** The same with a DAX window, which is accepted and has no effect yet. */
export function krun_add_virtiofs2(ctx_id: number, c_tag: CString, c_path: CString, shm_size: number | bigint): number {
  return krun_add_virtiofs3(ctx_id, c_tag, c_path, shm_size, false);
}

/** The same, optionally read-only. A NULL path is an empty file system. */
export function krun_add_virtiofs3(
  ctx_id: number,
  c_tag: CString,
  c_path: CString,
  shm_size: number | bigint,
  read_only: boolean,
): number {
  return checking(() => {
    const tag = text(c_tag);
    const path = textOrNull(c_path);
    unsigned(shm_size, 64);
    return withContext(ctx_id, (context) => addShare(context, tag, path, read_only === true));
  });
}

/** Retired; always -EINVAL. */
export function krun_set_mapped_volumes(_ctx_id: number, _mapped_volumes: readonly CString[] | null): number {
  return -EINVAL;
}

/** Root shares added after this call get no init program laid over them. */
export function krun_disable_implicit_init(ctx_id: number): number {
  return withContext(ctx_id, (context) => {
    context.implicitInit = false;
    return 0;
  });
}

/** The init program's bytes, which stay valid and must not be changed. -EINVAL when there is nowhere to put them. */
export function krun_get_default_init(data: Out<Uint8Array | null> | null, len: Out<number> | null): number {
  if (!data || !len) return -EINVAL;
  data.value = defaultInit();
  len.value = data.value.length;
  return 0;
}

/** Lays a file over a share. The bytes are not copied. */
export function krun_fs_add_overlay_file(
  ctx_id: number,
  fs_tag: CString,
  path: CString,
  data: Uint8Array | null,
  data_len: number | bigint,
  mode: number,
  one_shot: boolean,
): number {
  return checking(() => {
    const [tag, name] = [text(fs_tag), text(path)];
    const length = unsigned(data_len, 64);
    if (length > (data?.length ?? 0)) throw new BadArgument('more bytes than there are');
    const bytes = (data ?? new Uint8Array(0)).subarray(0, length);
    const node = { data: bytes, mode: unsigned(mode, 32) & 0o7777, oneShot: one_shot === true };
    return withContext(ctx_id, (context) => addOverlay(context, tag, name, node));
  });
}

/** Lays an empty directory over a share. */
export function krun_fs_add_overlay_dir(ctx_id: number, fs_tag: CString, path: CString, mode: number): number {
  return checking(() => {
    const [tag, name] = [text(fs_tag), text(path)];
    const node = { mode: unsigned(mode, 32) & 0o7777, oneShot: false };
    return withContext(ctx_id, (context) => addOverlay(context, tag, name, node));
  });
}

function addShare(context: Context, tag: string, path: string | null, readOnly: boolean): number {
  const init = tag === KRUN_FS_ROOT_TAG && context.implicitInit;
  context.shares.push({ tag, path, readOnly, init, overlay: [] });
  return 0;
}

function addOverlay(context: Context, tag: string, path: string, node: Omit<OverlayNode, 'path'>): number {
  const share = context.shares.find((candidate) => candidate.tag === tag);
  if (share === undefined) return -ENOENT;
  const parts = path.replace(/^\//, '').split('/');
  if (parts[parts.length - 1] === '') return -EINVAL;
  for (let depth = 1; depth < parts.length; depth++) {
    const kind = overlayKind(share, parts.slice(0, depth).join('/'));
    if (kind !== 'directory') return kind === 'file' ? -ENOTDIR : -ENOENT;
  }
  share.overlay.push({ path: parts.join('/'), ...node });
  return 0;
}

/** What the overlay has under a name; of several entries the last one counts. */
function overlayKind(share: Share, path: string): 'file' | 'directory' | undefined {
  const node = share.overlay.findLast((candidate) => candidate.path === path);
  if (node !== undefined) return node.data === undefined ? 'directory' : 'file';
  return share.init && path === INIT_NAME ? 'file' : undefined;
}
