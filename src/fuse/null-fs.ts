import { ENOENT } from './errno.ts';
import {
  type AttrReply,
  type Entry,
  type FileSystem,
  FOREVER_S,
  type Name,
  type OpenReply,
  type StatfsReply,
  UnimplementedFileSystem,
} from './file-system.ts';
import { FUSE_ROOT_ID } from './protocol.ts';
import { newAttr, newStatfsReply } from './records.ts';

/** An empty root directory and nothing else: something for an overlay to lie on. */
export function nullFs(): FileSystem {
  return new NullFs();
}

const ROOT_ATTR = { ...newAttr(), inoLow: FUSE_ROOT_ID, mode: 0o040755, nlink: 2 };

class NullFs extends UnimplementedFileSystem {
  override lookup(_parent: number, _name: Name, _entry: Entry): number {
    return -ENOENT;
  }
  override getattr(nodeid: number, _fh: number, reply: AttrReply): number {
    if (nodeid !== FUSE_ROOT_ID) return -ENOENT;
    Object.assign(reply.attr, ROOT_ATTR);
    reply.attrValidS = FOREVER_S;
    return 0;
  }
  override open(_nodeid: number, _flags: number, _killPriv: boolean, reply: OpenReply): number {
    return openNothing(reply);
  }
  override opendir(_nodeid: number, _flags: number, reply: OpenReply): number {
    return openNothing(reply);
  }
  /** The overlay lists what lies on the root; below it there is nothing. */
  override readdir(): number {
    return 0;
  }
  override release(): number {
    return 0;
  }
  override releasedir(): number {
    return 0;
  }
  override statfs(_nodeid: number, reply: StatfsReply): number {
    Object.assign(reply, newStatfsReply());
    return 0;
  }
}

function openNothing(reply: OpenReply): number {
  reply.fh = 0;
  reply.openFlags = 0;
  return 0;
}
