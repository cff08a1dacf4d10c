import { MiB } from '../base/units.ts';
import type { DirentPacker } from './dirents.ts';
import type { AttrReply, Entry, FileSystem, OpenReply, StatfsReply } from './file-system.ts';
import { fuse_in_header } from './protocol.ts';
import type { FuseReply } from './reply.ts';
import type { FuseRequest } from './request.ts';

/** What operations work on: one per server, so that a request allocates no records. */
export interface OperationContext {
  readonly fs: FileSystem;
  /** Capability flags agreed on at INIT. */
  flags: bigint;
  readonly entry: Entry;
  readonly attr: AttrReply;
  readonly open: OpenReply;
  readonly statfs: StatfsReply;
  readonly dirents: DirentPacker;
  /** The guest's init reports the exit status of its workload. */
  readonly onExitCode: (code: number) => void;
}

/** Decodes a request whose own structure is complete, calls the file system, encodes the answer. */
export interface Operation {
  /** The least bytes that must follow the header. */
  readonly argumentBytes: number;
  /** Answers the payload's length, a negated error number, or NO_REPLY. */
  run(context: OperationContext, request: FuseRequest, reply: FuseReply): number;
}

/** The guest expects nothing back. Outside the range of errors. */
export const NO_REPLY = -0x10000;

/** Where an operation's own structure starts. */
export const ARGS = fuse_in_header.sizeof;

/** The most data one request moves, either way. */
export const DATA_BYTES_MAX = MiB;
