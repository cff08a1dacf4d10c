import { EINVAL, ERANGE } from './errno.ts';
import { type AttrChange, NO_FH } from './file-system.ts';
import { ARGS, type Operation } from './operation.ts';
import {
  FATTR_FH,
  FUSE_GETATTR_FH,
  fuse_access_in,
  fuse_getattr_in,
  fuse_getxattr_in,
  fuse_getxattr_out,
  fuse_link_in,
  fuse_mkdir_in,
  fuse_mknod_in,
  fuse_rename2_in,
  fuse_rename_in,
  fuse_setattr_in,
  fuse_setxattr_in,
  fuse_statx_in,
} from './protocol.ts';
import type { FuseReply } from './reply.ts';
import { encodeStatx } from './statx.ts';
import { type FuseRequest, TOO_LARGE } from './request.ts';

const PATH_BYTES_MAX = 4096;
const XATTR_BYTES_MAX = 65536;

export const lookup: Operation = {
  argumentBytes: 0,
  run(context, request, reply) {
    const name = request.name(ARGS);
    if (name === undefined) return -EINVAL;
    const error = context.fs.lookup(request.nodeid, name, context.entry);
    return error < 0 ? error : reply.entryOut(0, context.entry);
  },
};

export const getattr: Operation = {
  argumentBytes: fuse_getattr_in.sizeof,
  run(context, request, reply) {
    const byHandle = request.u32(ARGS + fuse_getattr_in.getattr_flags) & FUSE_GETATTR_FH;
    const fh = byHandle ? request.u64(ARGS + fuse_getattr_in.fh) : NO_FH;
    const error = context.fs.getattr(request.nodeid, fh, context.attr);
    return error < 0 ? error : reply.attrOut(context.attr);
  },
};

/** GETATTR with the time of birth. Newer than the version we speak; Linux asks anyway and takes ENOSYS for no. */
export const statx: Operation = {
  argumentBytes: fuse_statx_in.sizeof,
  run(context, request, reply) {
    const byHandle = request.u32(ARGS + fuse_statx_in.getattr_flags) & FUSE_GETATTR_FH;
    const fh = byHandle ? request.u64(ARGS + fuse_statx_in.fh) : NO_FH;
    const error = context.fs.getattr(request.nodeid, fh, context.attr);
    return error < 0 ? error : encodeStatx(reply, context.attr);
  },
};

export const setattr: Operation = {
  argumentBytes: fuse_setattr_in.sizeof,
  run(context, request, reply) {
    const change = decodeChange(request);
    if (change.size === TOO_LARGE) return -EINVAL;
    const fh = change.valid & FATTR_FH ? request.u64(ARGS + fuse_setattr_in.fh) : NO_FH;
    const error = context.fs.setattr(request.nodeid, fh, change, context.attr);
    return error < 0 ? error : reply.attrOut(context.attr);
  },
};

function decodeChange(request: FuseRequest): AttrChange {
  return {
    valid: request.u32(ARGS + fuse_setattr_in.valid),
    size: request.u64(ARGS + fuse_setattr_in.size),
    mode: request.u32(ARGS + fuse_setattr_in.mode),
    uid: request.u32(ARGS + fuse_setattr_in.uid),
    gid: request.u32(ARGS + fuse_setattr_in.gid),
    atime: request.i64(ARGS + fuse_setattr_in.atime),
    atimeNs: request.u32(ARGS + fuse_setattr_in.atimensec) % 1_000_000_000,
    mtime: request.i64(ARGS + fuse_setattr_in.mtime),
    mtimeNs: request.u32(ARGS + fuse_setattr_in.mtimensec) % 1_000_000_000,
  };
}

export const access: Operation = {
  argumentBytes: fuse_access_in.sizeof,
  run: (context, request) => context.fs.access(request.nodeid, request.u32(ARGS + fuse_access_in.mask) & 7, request),
};

export const readlink: Operation = {
  argumentBytes: 0,
  run(context, request, reply) {
    return context.fs.readlink(request.nodeid, payload(reply, PATH_BYTES_MAX));
  },
};

export const symlink: Operation = {
  argumentBytes: 0,
  run(context, request, reply) {
    const name = request.name(ARGS);
    if (name === undefined) return -EINVAL;
    const target = request.string(ARGS + name.length + 1);
    if (target === undefined || target.length === 0 || target.length >= PATH_BYTES_MAX) return -EINVAL;
    const error = context.fs.symlink(request.nodeid, name, target, request, context.entry);
    return error < 0 ? error : reply.entryOut(0, context.entry);
  },
};

export const mknod: Operation = {
  argumentBytes: fuse_mknod_in.sizeof,
  run(context, request, reply) {
    const name = request.name(ARGS + fuse_mknod_in.sizeof);
    if (name === undefined) return -EINVAL;
    const node = {
      mode: request.u32(ARGS + fuse_mknod_in.mode) & 0o177777,
      umask: request.u32(ARGS + fuse_mknod_in.umask) & 0o777,
      rdev: request.u32(ARGS + fuse_mknod_in.rdev),
    };
    const error = context.fs.mknod(request.nodeid, name, node, request, context.entry);
    return error < 0 ? error : reply.entryOut(0, context.entry);
  },
};

export const mkdir: Operation = {
  argumentBytes: fuse_mkdir_in.sizeof,
  run(context, request, reply) {
    const name = request.name(ARGS + fuse_mkdir_in.sizeof);
    if (name === undefined) return -EINVAL;
    const node = {
      mode: request.u32(ARGS + fuse_mkdir_in.mode) & 0o7777,
      umask: request.u32(ARGS + fuse_mkdir_in.umask) & 0o777,
      rdev: 0,
    };
    const error = context.fs.mkdir(request.nodeid, name, node, request, context.entry);
    return error < 0 ? error : reply.entryOut(0, context.entry);
  },
};

export const link: Operation = {
  argumentBytes: fuse_link_in.sizeof,
  run(context, request, reply) {
    const name = request.name(ARGS + fuse_link_in.sizeof);
    if (name === undefined) return -EINVAL;
    const nodeid = request.u64(ARGS + fuse_link_in.oldnodeid);
    const error = context.fs.link(nodeid, request.nodeid, name, context.entry);
    return error < 0 ? error : reply.entryOut(0, context.entry);
  },
};

export const unlink: Operation = {
  argumentBytes: 0,
  run(context, request) {
    const name = request.name(ARGS);
    return name === undefined ? -EINVAL : context.fs.unlink(request.nodeid, name);
  },
};

export const rmdir: Operation = {
  argumentBytes: 0,
  run(context, request) {
    const name = request.name(ARGS);
    return name === undefined ? -EINVAL : context.fs.rmdir(request.nodeid, name);
  },
};

export const rename = renameOperation(fuse_rename_in.sizeof, () => 0);
export const rename2 = renameOperation(fuse_rename2_in.sizeof, (request) => request.u32(ARGS + fuse_rename2_in.flags));

function renameOperation(argumentBytes: number, flagsOf: (request: FuseRequest) => number): Operation {
  return {
    argumentBytes,
    run(context, request) {
      const name = request.name(ARGS + argumentBytes);
      if (name === undefined) return -EINVAL;
      const newName = request.name(ARGS + argumentBytes + name.length + 1);
      if (newName === undefined) return -EINVAL;
      const newParent = request.u64(ARGS + fuse_rename_in.newdir);
      return context.fs.rename(request.nodeid, name, newParent, newName, flagsOf(request));
    },
  };
}

export const setxattr: Operation = {
  argumentBytes: fuse_setxattr_in.sizeof,
  run(context, request) {
    const name = request.string(ARGS + fuse_setxattr_in.sizeof);
    if (name === undefined || !isXattrName(name)) return -EINVAL;
    const valueAt = ARGS + fuse_setxattr_in.sizeof + name.length + 1;
    const size = request.u32(ARGS + fuse_setxattr_in.size);
    if (size > XATTR_BYTES_MAX || valueAt + size > request.length) return -EINVAL;
    const value = request.bytes.subarray(valueAt, valueAt + size);
    return context.fs.setxattr(request.nodeid, name, value, request.u32(ARGS + fuse_setxattr_in.flags));
  },
};

export const getxattr: Operation = {
  argumentBytes: fuse_getxattr_in.sizeof,
  run(context, request, reply) {
    const name = request.string(ARGS + fuse_getxattr_in.sizeof);
    if (name === undefined || !isXattrName(name)) return -EINVAL;
    return sizedReply(request, reply, (into) => context.fs.getxattr(request.nodeid, name, into));
  },
};

export const listxattr: Operation = {
  argumentBytes: fuse_getxattr_in.sizeof,
  run: (context, request, reply) => sizedReply(request, reply, (into) => context.fs.listxattr(request.nodeid, into)),
};

export const removexattr: Operation = {
  argumentBytes: 0,
  run(context, request) {
    const name = request.string(ARGS);
    if (name === undefined || !isXattrName(name)) return -EINVAL;
    return context.fs.removexattr(request.nodeid, name);
  },
};

/** Unlike a file name, an attribute's name may hold a slash. */
function isXattrName(name: Uint8Array): boolean {
  return name.length > 0 && name.length <= 255;
}

/** Size 0 asks how long the answer is; otherwise the answer itself must fit. */
function sizedReply(request: FuseRequest, reply: FuseReply, get: (into: Uint8Array) => number): number {
  const size = request.u32(ARGS + fuse_getxattr_in.size);
  if (size > 0) {
    const into = payload(reply, Math.min(size, XATTR_BYTES_MAX));
    return into.length === 0 ? -ERANGE : get(into);
  }
  const length = get(reply.bytes.subarray(0, 0));
  if (length < 0) return length;
  reply.u32(fuse_getxattr_out.size, length);
  reply.u32(fuse_getxattr_out.padding, 0);
  return fuse_getxattr_out.sizeof;
}

function payload(reply: FuseReply, size: number): Uint8Array {
  const room = Math.min(size, reply.capacity);
  reply.reserve(room);
  return reply.bytes.subarray(0, room);
}
