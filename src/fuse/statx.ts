import type { AttrReply } from './file-system.ts';
import { FUSE_STATX_BYTES, fuse_statx, fuse_statx_out, STATX_BASIC_STATS, STATX_BTIME } from './protocol.ts';
import { decodeDevice } from './records.ts';
import type { FuseReply } from './reply.ts';

/** Encodes attributes as FUSE_STATX wants them; answers the payload's length. @spec LINUX-FUSE fuse_statx_out */
export function encodeStatx(reply: FuseReply, { attr, attrValidS }: AttrReply): number {
  const at = fuse_statx_out.sizeof;
  reply.zero(0, at + FUSE_STATX_BYTES);
  reply.u64(fuse_statx_out.attr_valid, attrValidS);
  reply.u32(at + fuse_statx.mask, STATX_BASIC_STATS | (attr.btimeKnown ? STATX_BTIME : 0));
  reply.u32(at + fuse_statx.blksize, attr.blksize);
  reply.u32(at + fuse_statx.nlink, attr.nlink);
  reply.u32(at + fuse_statx.uid, attr.uid);
  reply.u32(at + fuse_statx.gid, attr.gid);
  reply.u16(at + fuse_statx.mode, attr.mode);
  reply.u32(at + fuse_statx.ino, attr.inoLow);
  reply.u32(at + fuse_statx.ino + 4, attr.inoHigh);
  reply.u64(at + fuse_statx.size, attr.size);
  reply.u64(at + fuse_statx.blocks, attr.blocks);
  reply.u64(at + fuse_statx.atime, attr.atime);
  reply.u32(at + fuse_statx.atime_nsec, attr.atimeNs);
  if (attr.btimeKnown) reply.u64(at + fuse_statx.btime, attr.btime);
  if (attr.btimeKnown) reply.u32(at + fuse_statx.btime_nsec, attr.btimeNs);
  reply.u64(at + fuse_statx.ctime, attr.ctime);
  reply.u32(at + fuse_statx.ctime_nsec, attr.ctimeNs);
  reply.u64(at + fuse_statx.mtime, attr.mtime);
  reply.u32(at + fuse_statx.mtime_nsec, attr.mtimeNs);
  const { major, minor } = decodeDevice(attr.rdev);
  reply.u32(at + fuse_statx.rdev_major, major);
  reply.u32(at + fuse_statx.rdev_minor, minor);
  return at + FUSE_STATX_BYTES;
}
