import { DirentPacker } from './dirents.ts';
import { EINVAL, EIO, ENOMEM, ENOSYS, EOVERFLOW } from './errno.ts';
import * as file from './file-operations.ts';
import type { FileSystem } from './file-system.ts';
import * as node from './node-operations.ts';
import { ARGS, DATA_BYTES_MAX, NO_REPLY, type Operation, type OperationContext } from './operation.ts';
import * as op from './protocol.ts';
import { newAttrReply, newEntry, newOpenReply, newStatfsReply } from './records.ts';
import { FuseReply } from './reply.ts';
import { FuseRequest, totalBytes } from './request.ts';
import * as session from './session-operations.ts';

/**
 * Every operation served; whatever is missing is answered ENOSYS.
 *
 * @unsupported LINUX-FUSE FUSE_SETUPMAPPING and FUSE_REMOVEMAPPING (DAX): they would be two rows here and a window
 * given to the context.
 */
const OPERATIONS: readonly (Operation | undefined)[] = tableOf({
  [op.FUSE_LOOKUP]: node.lookup,
  [op.FUSE_FORGET]: session.forget,
  [op.FUSE_GETATTR]: node.getattr,
  [op.FUSE_SETATTR]: node.setattr,
  [op.FUSE_READLINK]: node.readlink,
  [op.FUSE_SYMLINK]: node.symlink,
  [op.FUSE_MKNOD]: node.mknod,
  [op.FUSE_MKDIR]: node.mkdir,
  [op.FUSE_UNLINK]: node.unlink,
  [op.FUSE_RMDIR]: node.rmdir,
  [op.FUSE_RENAME]: node.rename,
  [op.FUSE_LINK]: node.link,
  [op.FUSE_OPEN]: file.open,
  [op.FUSE_READ]: file.read,
  [op.FUSE_WRITE]: file.write,
  [op.FUSE_STATFS]: session.statfs,
  [op.FUSE_RELEASE]: file.release,
  [op.FUSE_FSYNC]: file.fsync,
  [op.FUSE_SETXATTR]: node.setxattr,
  [op.FUSE_GETXATTR]: node.getxattr,
  [op.FUSE_LISTXATTR]: node.listxattr,
  [op.FUSE_REMOVEXATTR]: node.removexattr,
  [op.FUSE_FLUSH]: file.flush,
  [op.FUSE_INIT]: session.init,
  [op.FUSE_OPENDIR]: file.opendir,
  [op.FUSE_READDIR]: file.readdir,
  [op.FUSE_RELEASEDIR]: file.releasedir,
  [op.FUSE_FSYNCDIR]: file.fsyncdir,
  [op.FUSE_ACCESS]: node.access,
  [op.FUSE_CREATE]: file.create,
  [op.FUSE_INTERRUPT]: session.interrupt,
  [op.FUSE_DESTROY]: session.destroy,
  [op.FUSE_IOCTL]: session.ioctl,
  [op.FUSE_BATCH_FORGET]: session.batchForget,
  [op.FUSE_FALLOCATE]: file.fallocate,
  [op.FUSE_READDIRPLUS]: file.readdirplus,
  [op.FUSE_RENAME2]: node.rename2,
  [op.FUSE_LSEEK]: file.lseek,
  [op.FUSE_COPY_FILE_RANGE]: file.copyFileRange,
  [op.FUSE_SYNCFS]: session.syncfs,
  [op.FUSE_TMPFILE]: file.tmpfile,
  [op.FUSE_STATX]: node.statx,
});

const REQUEST_BYTES_MAX = DATA_BYTES_MAX + 4096;
/** What is copied of a WRITE: its data stays in the guest's buffers. */
const WRITE_BYTES = ARGS + op.fuse_write_in.sizeof;

export interface FuseServerOptions {
  /** The guest's init reports the exit status of its workload. */
  readonly onExitCode?: (code: number) => void;
}

export interface FuseServerState {
  readonly version: 1;
  readonly flags: bigint;
  readonly fs: unknown;
}

/**
 * Serves FUSE requests from guest buffers with a FileSystem. Whatever bytes a guest sends, `handle` answers and does
 * not throw; only a broken file system can make it. Requests are served one at a time, to the end.
 */
export class FuseServer {
  readonly #context: OperationContext;
  readonly #request = new FuseRequest();
  readonly #reply = new FuseReply();

  constructor(fs: FileSystem, options: FuseServerOptions = {}) {
    this.#context = {
      fs,
      flags: 0n,
      entry: newEntry(),
      attr: newAttrReply(),
      open: newOpenReply(),
      statfs: newStatfsReply(),
      dirents: new DirentPacker(this.#reply),
      onExitCode: options.onExitCode ?? (() => {}),
    };
  }

  /**
   * Serves one request.
   *
   * @param readable the request, in buffers of any lengths
   * @param writable room for the reply; may be empty for requests that have none
   * @returns bytes written to `writable`, from its start; 0 if there is no reply
   */
  handle(readable: readonly Uint8Array[], writable: readonly Uint8Array[]): number {
    const available = totalBytes(readable);
    if (available < ARGS) return 0;
    const request = this.#request;
    request.begin(readable);
    const room = totalBytes(writable) - op.fuse_out_header.sizeof;
    this.#reply.begin(writable, room);
    const result = this.#serve(request, available);
    if (result === NO_REPLY || room < 0) return 0;
    const fitting = result > room ? -EOVERFLOW : result;
    return this.#reply.finish(request, op.fuse_in_header.unique, Math.min(fitting, 0), Math.max(fitting, 0));
  }

  /** The session as plain data: what was agreed with the guest, and what its file system knows of it. */
  save(): FuseServerState {
    const { flags, fs } = this.#context;
    return { version: 1, flags, fs: fs.save?.() };
  }

  restore({ flags, fs }: FuseServerState): void {
    this.#context.flags = flags;
    this.#context.fs.restore?.(fs);
  }

  #serve(request: FuseRequest, available: number): number {
    const length = request.u32(op.fuse_in_header.len);
    const noReply = request.opcode === op.FUSE_FORGET || request.opcode === op.FUSE_BATCH_FORGET;
    if (length > REQUEST_BYTES_MAX) return noReply ? NO_REPLY : -ENOMEM;
    if (length < ARGS || length > available) return noReply ? NO_REPLY : -EIO;
    const operation = OPERATIONS[request.opcode];
    if (operation === undefined) return -ENOSYS;
    if (length < ARGS + operation.argumentBytes) return noReply ? NO_REPLY : -EINVAL;
    // The header came from the first read of guest memory and stays; only what follows it is read now.
    request.extend(request.opcode === op.FUSE_WRITE ? WRITE_BYTES : length, length);
    return operation.run(this.#context, request, this.#reply);
  }
}

function tableOf(rows: Record<number, Operation>): (Operation | undefined)[] {
  const table: (Operation | undefined)[] = new Array(64).fill(undefined);
  for (const [opcode, operation] of Object.entries(rows)) table[Number(opcode)] = operation;
  return table;
}
