import { KiB } from '../../base/units.ts';

/** @spec VIRTIO-1.2 §5.10 */
export const VIRTIO_ID_VSOCK = 19;

/** Datagrams: libkrun's own bit, without which its kernels have no transparent sockets. @spec LIBKRUN-TSI */
export const VIRTIO_VSOCK_F_DGRAM = 1n << 3n;
/** @spec VIRTIO-1.2 §6 */
export const VIRTIO_F_IN_ORDER = 1n << 35n;

/** @spec VIRTIO-1.2 §5.10.2 */
export const RECEIVEQ = 0;
export const TRANSMITQ = 1;
export const EVENTQ = 2;

export const VMADDR_CID_HOST = 2;

/** Ports of connections that begin on the host; low numbers belong to services. */
export const LOCAL_PORT_FIRST = 0x10_0000;
export const LOCAL_PORT_LAST = 0xffff_fffe;

/** @spec VIRTIO-1.2 §5.10.6 virtio_vsock_type; DGRAM is libkrun's */
export const VIRTIO_VSOCK_TYPE_STREAM = 1;
export const VIRTIO_VSOCK_TYPE_DGRAM = 3;

/** @spec VIRTIO-1.2 §5.10.6 virtio_vsock_op */
export const VIRTIO_VSOCK_OP_REQUEST = 1;
export const VIRTIO_VSOCK_OP_RESPONSE = 2;
export const VIRTIO_VSOCK_OP_RST = 3;
export const VIRTIO_VSOCK_OP_SHUTDOWN = 4;
export const VIRTIO_VSOCK_OP_RW = 5;
export const VIRTIO_VSOCK_OP_CREDIT_UPDATE = 6;
export const VIRTIO_VSOCK_OP_CREDIT_REQUEST = 7;

/** Flags of SHUTDOWN: the sender will not receive, will not send, any more. @spec VIRTIO-1.2 §5.10.6.6 */
export const VIRTIO_VSOCK_SHUTDOWN_F_RECEIVE = 1;
export const VIRTIO_VSOCK_SHUTDOWN_F_SEND = 2;

/** @spec VIRTIO-1.2 §5.10.6.7 */
export const VIRTIO_VSOCK_EVENT_TRANSPORT_RESET = 0;

/** Bytes a packet carries at most; what upstream takes. */
export const PAYLOAD_MAX = 64 * KiB;

/** @spec VIRTIO-1.2 §5.10.6 struct virtio_vsock_hdr */
export const HDR_SIZE = 44;

/** A packet's header. CIDs are numbers: one above 2**53 is nobody's. */
export interface VsockHeader {
  src_cid: number;
  dst_cid: number;
  src_port: number;
  dst_port: number;
  len: number;
  type: number;
  op: number;
  flags: number;
  buf_alloc: number;
  fwd_cnt: number;
}

export function emptyHeader(): VsockHeader {
  return {
    src_cid: 0,
    dst_cid: 0,
    src_port: 0,
    dst_port: 0,
    len: 0,
    type: 0,
    op: 0,
    flags: 0,
    buf_alloc: 0,
    fwd_cnt: 0,
  };
}

/** Reads a header into an existing record: nothing is allocated per packet. */
export function decodeHeader(view: DataView, into: VsockHeader): void {
  into.src_cid = view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32;
  into.dst_cid = view.getUint32(8, true) + view.getUint32(12, true) * 2 ** 32;
  into.src_port = view.getUint32(16, true);
  into.dst_port = view.getUint32(20, true);
  into.len = view.getUint32(24, true);
  into.type = view.getUint16(28, true);
  into.op = view.getUint16(30, true);
  into.flags = view.getUint32(32, true);
  into.buf_alloc = view.getUint32(36, true);
  into.fwd_cnt = view.getUint32(40, true);
}

export function encodeHeader(header: VsockHeader, view: DataView): void {
  view.setUint32(0, header.src_cid, true);
  view.setUint32(4, 0, true);
  view.setUint32(8, header.dst_cid, true);
  view.setUint32(12, 0, true);
  view.setUint32(16, header.src_port, true);
  view.setUint32(20, header.dst_port, true);
  view.setUint32(24, header.len, true);
  view.setUint16(28, header.type, true);
  view.setUint16(30, header.op, true);
  view.setUint32(32, header.flags, true);
  view.setUint32(36, header.buf_alloc, true);
  view.setUint32(40, header.fwd_cnt, true);
}
