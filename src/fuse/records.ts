import type { Attr, AttrReply, Entry, OpenReply, StatfsReply } from './file-system.ts';

/** Zeroed records to be filled again and again. */
export function newAttr(): Attr {
  return {
    inoLow: 0,
    inoHigh: 0,
    size: 0,
    blocks: 0,
    atime: 0,
    mtime: 0,
    ctime: 0,
    atimeNs: 0,
    mtimeNs: 0,
    ctimeNs: 0,
    mode: 0,
    nlink: 0,
    uid: 0,
    gid: 0,
    rdev: 0,
    blksize: 4096,
    flags: 0,
    btime: 0,
    btimeNs: 0,
    btimeKnown: false,
  };
}

export function newEntry(): Entry {
  return { nodeid: 0, entryValidS: 0, attrValidS: 0, attr: newAttr() };
}

export function newAttrReply(): AttrReply {
  return { attrValidS: 0, attr: newAttr() };
}

export function newOpenReply(): OpenReply {
  return { fh: 0, openFlags: 0 };
}

/** What a file system without real blocks reports. */
export function newStatfsReply(): StatfsReply {
  return { blocks: 0, bfree: 0, bavail: 0, files: 0, ffree: 0, bsize: 512, namelen: 255, frsize: 512 };
}

/**
 * A device number as the kernel packs it into 32 bits: 12 bits of major, 20 of minor.
 * @spec LINUX-FUSE fuse_attr.rdev, linux/kdev_t.h new_encode_dev
 */
export function encodeDevice(major: number, minor: number): number {
  return ((minor & 0xff) | ((major & 0xfff) << 8) | ((minor & 0xfff00) << 12)) >>> 0;
}

export function decodeDevice(rdev: number): { major: number; minor: number } {
  return { major: (rdev >>> 8) & 0xfff, minor: (rdev & 0xff) | ((rdev >>> 12) & 0xfff00) };
}
