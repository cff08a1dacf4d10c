import { MiB } from '../base/units.ts';
import { EINVAL, ENOMEM } from './errno.ts';
import type { OpenReply } from './file-system.ts';
import { ARGS, DATA_BYTES_MAX, type Operation, type OperationContext } from './operation.ts';
import {
  FUSE_FSYNC_FDATASYNC,
  FUSE_OPEN_KILL_SUIDGID,
  fuse_copy_file_range_in,
  fuse_create_in,
  fuse_fallocate_in,
  fuse_flush_in,
  fuse_fsync_in,
  fuse_lseek_in,
  fuse_lseek_out,
  fuse_open_in,
  fuse_open_out,
  fuse_read_in,
  fuse_release_in,
  fuse_write_in,
  fuse_write_out,
} from './protocol.ts';
import { ENTRY_OUT_BYTES, type FuseReply } from './reply.ts';
import { type FuseRequest, TOO_LARGE } from './request.ts';

/** One request must not hold up the machine for long; the guest asks for the rest. */
const COPY_BYTES_MAX = 16 * MiB;

export const open: Operation = {
  argumentBytes: fuse_open_in.sizeof,
  run(context, request, reply) {
    const killPriv = (request.u32(ARGS + fuse_open_in.open_flags) & FUSE_OPEN_KILL_SUIDGID) !== 0;
    const error = context.fs.open(request.nodeid, request.u32(ARGS + fuse_open_in.flags), killPriv, context.open);
    return error < 0 ? error : openOut(reply, 0, context.open);
  },
};

export const create: Operation = {
  argumentBytes: fuse_create_in.sizeof,
  run(context, request, reply) {
    const name = request.name(ARGS + fuse_create_in.sizeof);
    if (name === undefined) return -EINVAL;
    const killPriv = (request.u32(ARGS + fuse_create_in.open_flags) & FUSE_OPEN_KILL_SUIDGID) !== 0;
    const flags = request.u32(ARGS + fuse_create_in.flags);
    const { fs, entry, open: opened } = context;
    const error = fs.create(request.nodeid, name, newFile(request), flags, killPriv, request, entry, opened);
    return error < 0 ? error : createOut(context, reply);
  },
};

export const tmpfile: Operation = {
  argumentBytes: fuse_create_in.sizeof,
  run(context, request, reply) {
    const flags = request.u32(ARGS + fuse_create_in.flags);
    const { fs, entry, open: opened } = context;
    const error = fs.tmpfile(request.nodeid, newFile(request), flags, request, entry, opened);
    return error < 0 ? error : createOut(context, reply);
  },
};

function newFile(request: FuseRequest): { mode: number; umask: number; rdev: number } {
  return {
    mode: request.u32(ARGS + fuse_create_in.mode) & 0o7777,
    umask: request.u32(ARGS + fuse_create_in.umask) & 0o777,
    rdev: 0,
  };
}

function createOut(context: OperationContext, reply: FuseReply): number {
  reply.entryOut(0, context.entry);
  return ENTRY_OUT_BYTES + openOut(reply, ENTRY_OUT_BYTES, context.open);
}

export const read: Operation = {
  argumentBytes: fuse_read_in.sizeof,
  run(context, request, reply) {
    const size = request.u32(ARGS + fuse_read_in.size);
    if (size > DATA_BYTES_MAX) return -ENOMEM;
    const offset = request.u64(ARGS + fuse_read_in.offset);
    if (offset === TOO_LARGE) return -EINVAL;
    const into = reply.data(Math.min(size, reply.capacity));
    reply.direct = true;
    if (into.length === 0) return 0;
    return context.fs.read(request.nodeid, request.u64(ARGS + fuse_read_in.fh), into, offset);
  },
};

export const write: Operation = {
  argumentBytes: fuse_write_in.sizeof,
  run(context, request, reply) {
    const size = request.u32(ARGS + fuse_write_in.size);
    if (size > DATA_BYTES_MAX) return -ENOMEM;
    const offset = request.u64(ARGS + fuse_write_in.offset);
    if (offset === TOO_LARGE || ARGS + fuse_write_in.sizeof + size > request.length) return -EINVAL;
    const from = request.data(ARGS + fuse_write_in.sizeof, size);
    const flags = request.u32(ARGS + fuse_write_in.write_flags);
    const fh = request.u64(ARGS + fuse_write_in.fh);
    const written = size === 0 ? 0 : context.fs.write(request.nodeid, fh, from, offset, flags);
    return written < 0 ? written : writeOut(reply, written);
  },
};

export const flush: Operation = {
  argumentBytes: fuse_flush_in.sizeof,
  run: (context, request) => context.fs.flush(request.nodeid, request.u64(ARGS + fuse_flush_in.fh)),
};

export const release: Operation = {
  argumentBytes: fuse_release_in.sizeof,
  run: (context, request) => context.fs.release(request.nodeid, request.u64(ARGS + fuse_release_in.fh)),
};

export const fsync: Operation = {
  argumentBytes: fuse_fsync_in.sizeof,
  run: (context, request) =>
    context.fs.fsync(request.nodeid, request.u64(ARGS + fuse_fsync_in.fh), isDataOnly(request)),
};

export const fallocate: Operation = {
  argumentBytes: fuse_fallocate_in.sizeof,
  run(context, request) {
    const offset = request.u64(ARGS + fuse_fallocate_in.offset);
    const length = request.u64(ARGS + fuse_fallocate_in.length);
    if (offset === TOO_LARGE || length === TOO_LARGE) return -EINVAL;
    const fh = request.u64(ARGS + fuse_fallocate_in.fh);
    return context.fs.fallocate(request.nodeid, fh, request.u32(ARGS + fuse_fallocate_in.mode), { offset, length });
  },
};

export const lseek: Operation = {
  argumentBytes: fuse_lseek_in.sizeof,
  run(context, request, reply) {
    const offset = request.u64(ARGS + fuse_lseek_in.offset);
    if (offset === TOO_LARGE) return -EINVAL;
    const fh = request.u64(ARGS + fuse_lseek_in.fh);
    const found = context.fs.lseek(request.nodeid, fh, offset, request.u32(ARGS + fuse_lseek_in.whence));
    if (found < 0) return found;
    reply.u64(fuse_lseek_out.offset, found);
    return fuse_lseek_out.sizeof;
  },
};

export const copyFileRange: Operation = {
  argumentBytes: fuse_copy_file_range_in.sizeof,
  run(context, request, reply) {
    const from = {
      nodeid: request.nodeid,
      fh: request.u64(ARGS + fuse_copy_file_range_in.fh_in),
      offset: request.u64(ARGS + fuse_copy_file_range_in.off_in),
    };
    const to = {
      nodeid: request.u64(ARGS + fuse_copy_file_range_in.nodeid_out),
      fh: request.u64(ARGS + fuse_copy_file_range_in.fh_out),
      offset: request.u64(ARGS + fuse_copy_file_range_in.off_out),
    };
    if (from.offset === TOO_LARGE || to.offset === TOO_LARGE) return -EINVAL;
    if (request.u64(ARGS + fuse_copy_file_range_in.flags) !== 0) return -EINVAL;
    const length = Math.min(request.u64(ARGS + fuse_copy_file_range_in.len), COPY_BYTES_MAX);
    const copied = context.fs.copyFileRange(from, to, length);
    return copied < 0 ? copied : writeOut(reply, copied);
  },
};

export const opendir: Operation = {
  argumentBytes: fuse_open_in.sizeof,
  run(context, request, reply) {
    const error = context.fs.opendir(request.nodeid, request.u32(ARGS + fuse_open_in.flags), context.open);
    return error < 0 ? error : openOut(reply, 0, context.open);
  },
};

export const readdir = readdirOperation(false);
export const readdirplus = readdirOperation(true);

function readdirOperation(plus: boolean): Operation {
  return {
    argumentBytes: fuse_read_in.sizeof,
    run(context, request, reply) {
      const size = request.u32(ARGS + fuse_read_in.size);
      if (size > DATA_BYTES_MAX) return -ENOMEM;
      const { dirents } = context;
      dirents.begin(plus, Math.min(size, reply.capacity));
      const offsetAt = ARGS + fuse_read_in.offset;
      const offset = { low: request.u32(offsetAt), high: request.u32(offsetAt + 4) };
      const error = context.fs.readdir(request.nodeid, request.u64(ARGS + fuse_read_in.fh), offset, dirents);
      return error < 0 ? error : dirents.length;
    },
  };
}

export const releasedir: Operation = {
  argumentBytes: fuse_release_in.sizeof,
  run: (context, request) => context.fs.releasedir(request.nodeid, request.u64(ARGS + fuse_release_in.fh)),
};

export const fsyncdir: Operation = {
  argumentBytes: fuse_fsync_in.sizeof,
  run: (context, request) =>
    context.fs.fsyncdir(request.nodeid, request.u64(ARGS + fuse_fsync_in.fh), isDataOnly(request)),
};

function isDataOnly(request: FuseRequest): boolean {
  return (request.u32(ARGS + fuse_fsync_in.fsync_flags) & FUSE_FSYNC_FDATASYNC) !== 0;
}

function openOut(reply: FuseReply, at: number, from: OpenReply): number {
  reply.u64(at + fuse_open_out.fh, from.fh);
  reply.u32(at + fuse_open_out.open_flags, from.openFlags);
  reply.u32(at + fuse_open_out.padding, 0);
  return fuse_open_out.sizeof;
}

function writeOut(reply: FuseReply, count: number): number {
  reply.u32(fuse_write_out.size, count);
  reply.u32(fuse_write_out.padding, 0);
  return fuse_write_out.sizeof;
}
