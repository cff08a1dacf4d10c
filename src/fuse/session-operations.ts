import { EOPNOTSUPP, EPROTO } from './errno.ts';
import type { StatfsReply } from './file-system.ts';
import { ARGS, DATA_BYTES_MAX, NO_REPLY, type Operation } from './operation.ts';
import {
  FUSE_ALLOW_IDMAP,
  FUSE_ASYNC_DIO,
  FUSE_ASYNC_READ,
  FUSE_ATOMIC_O_TRUNC,
  FUSE_AUTO_INVAL_DATA,
  FUSE_BIG_WRITES,
  FUSE_HANDLE_KILLPRIV_V2,
  FUSE_HAS_IOCTL_DIR,
  FUSE_INIT_EXT,
  FUSE_KERNEL_MINOR_VERSION,
  FUSE_KERNEL_VERSION,
  FUSE_MAX_PAGES,
  FUSE_PARALLEL_DIROPS,
  FUSE_STATFS_OUT_BYTES,
  FUSE_SUBMOUNTS,
  fuse_batch_forget_in,
  fuse_forget_in,
  fuse_forget_one,
  fuse_init_in,
  fuse_init_in_ext,
  fuse_init_out,
  fuse_ioctl_in,
  fuse_ioctl_out,
  fuse_kstatfs,
  fuse_syncfs_in,
  KRUN_IOCTL_EXIT_CODE,
} from './protocol.ts';
import type { FuseReply } from './reply.ts';

const SERVER_FLAGS =
  FUSE_ASYNC_READ |
  FUSE_ATOMIC_O_TRUNC |
  FUSE_BIG_WRITES |
  FUSE_HAS_IOCTL_DIR |
  FUSE_AUTO_INVAL_DATA |
  FUSE_ASYNC_DIO |
  FUSE_PARALLEL_DIROPS |
  FUSE_MAX_PAGES |
  FUSE_SUBMOUNTS |
  FUSE_HANDLE_KILLPRIV_V2 |
  FUSE_INIT_EXT |
  FUSE_ALLOW_IDMAP;

const PAGE_BYTES = 4096;

/** Agrees on version, capabilities and limits. @spec LINUX-FUSE FUSE_INIT */
export const init: Operation = {
  argumentBytes: fuse_init_in.sizeof,
  run(context, request, reply) {
    const major = request.u32(ARGS + fuse_init_in.major);
    const minor = request.u32(ARGS + fuse_init_in.minor);
    if (major < FUSE_KERNEL_VERSION || (major === FUSE_KERNEL_VERSION && minor < FUSE_KERNEL_MINOR_VERSION)) {
      return -EPROTO;
    }
    reply.zero(0, fuse_init_out.sizeof);
    reply.u32(fuse_init_out.major, FUSE_KERNEL_VERSION);
    reply.u32(fuse_init_out.minor, FUSE_KERNEL_MINOR_VERSION);
    // A newer major version asks again with ours.
    if (major > FUSE_KERNEL_VERSION) return fuse_init_out.sizeof;

    let capable = BigInt(request.u32(ARGS + fuse_init_in.flags));
    if (capable & FUSE_INIT_EXT) {
      capable |= BigInt(request.u32(ARGS + fuse_init_in.sizeof + fuse_init_in_ext.flags2)) << 32n;
    }
    context.flags = capable & (SERVER_FLAGS | context.fs.wants);
    context.fs.init(context.flags);
    reply.u32(fuse_init_out.max_readahead, request.u32(ARGS + fuse_init_in.max_readahead));
    reply.u32(fuse_init_out.flags, Number(context.flags & 0xffff_ffffn));
    reply.u32(fuse_init_out.flags2, Number(context.flags >> 32n));
    reply.u16(fuse_init_out.max_background, 65535);
    reply.u16(fuse_init_out.congestion_threshold, 49149);
    reply.u32(fuse_init_out.max_write, DATA_BYTES_MAX);
    reply.u32(fuse_init_out.time_gran, 1);
    reply.u16(fuse_init_out.max_pages, DATA_BYTES_MAX / PAGE_BYTES);
    return fuse_init_out.sizeof;
  },
};

export const destroy: Operation = {
  argumentBytes: 0,
  run(context) {
    context.fs.destroy();
    return 0;
  },
};

export const forget: Operation = {
  argumentBytes: fuse_forget_in.sizeof,
  run(context, request) {
    context.fs.forget(request.nodeid, request.u64(ARGS + fuse_forget_in.nlookup));
    return NO_REPLY;
  },
};

export const batchForget: Operation = {
  argumentBytes: fuse_batch_forget_in.sizeof,
  run(context, request) {
    const first = ARGS + fuse_batch_forget_in.sizeof;
    const present = Math.floor((request.length - first) / fuse_forget_one.sizeof);
    const count = Math.min(request.u32(ARGS + fuse_batch_forget_in.count), present);
    for (let index = 0; index < count; index++) {
      const at = first + index * fuse_forget_one.sizeof;
      context.fs.forget(request.u64(at + fuse_forget_one.nodeid), request.u64(at + fuse_forget_one.nlookup));
    }
    return NO_REPLY;
  },
};

/** Requests are answered before the next one is looked at, so there is never one to interrupt. */
export const interrupt: Operation = { argumentBytes: 0, run: () => NO_REPLY };

export const ioctl: Operation = {
  argumentBytes: fuse_ioctl_in.sizeof,
  run(context, request, reply) {
    if (request.u32(ARGS + fuse_ioctl_in.cmd) !== KRUN_IOCTL_EXIT_CODE) return -EOPNOTSUPP;
    context.onExitCode(request.u32(ARGS + fuse_ioctl_in.arg) | 0);
    reply.zero(0, fuse_ioctl_out.sizeof);
    return fuse_ioctl_out.sizeof;
  },
};

export const statfs: Operation = {
  argumentBytes: 0,
  run(context, request, reply) {
    const error = context.fs.statfs(request.nodeid, context.statfs);
    return error < 0 ? error : encodeStatfs(reply, context.statfs);
  },
};

export const syncfs: Operation = {
  argumentBytes: fuse_syncfs_in.sizeof,
  run: (context, request) => context.fs.syncfs(request.nodeid),
};

function encodeStatfs(reply: FuseReply, from: StatfsReply): number {
  reply.zero(0, FUSE_STATFS_OUT_BYTES);
  reply.u64(fuse_kstatfs.blocks, from.blocks);
  reply.u64(fuse_kstatfs.bfree, from.bfree);
  reply.u64(fuse_kstatfs.bavail, from.bavail);
  reply.u64(fuse_kstatfs.files, from.files);
  reply.u64(fuse_kstatfs.ffree, from.ffree);
  reply.u32(fuse_kstatfs.bsize, from.bsize);
  reply.u32(fuse_kstatfs.namelen, from.namelen);
  reply.u32(fuse_kstatfs.frsize, from.frsize);
  return FUSE_STATFS_OUT_BYTES;
}
