/** @spec VIRTIO-1.2 §5.3 Console Device */

export const VIRTIO_ID_CONSOLE = 3;

/** Configuration has a size in cols and rows. @spec VIRTIO-1.2 §5.3.3 */
export const VIRTIO_CONSOLE_F_SIZE = 1n << 0n;
/** Several ports and a pair of control queues. */
export const VIRTIO_CONSOLE_F_MULTIPORT = 1n << 1n;

/** Control queues, in the order of §5.3.2. */
export const CONTROL_RECEIVEQ = 2;
export const CONTROL_TRANSMITQ = 3;

/** Index of a port's receiveq; its transmitq is the next one. @spec VIRTIO-1.2 §5.3.2 */
export function receiveqOf(port: number): number {
  return port === 0 ? 0 : 2 + 2 * port;
}

/** The port whose queue this is; undefined for the control queues. */
export function portOfQueue(index: number): number | undefined {
  if (index < 2) return 0;
  return index < 4 ? undefined : Math.floor(index / 2) - 1;
}

/** struct virtio_console_config. @spec VIRTIO-1.2 §5.3.4 */
export const CONFIG = { cols: 0, rows: 2, max_nr_ports: 4, emerg_wr: 8, size: 12 } as const;

/** struct virtio_console_control: id u32, event u16, value u16. @spec VIRTIO-1.2 §5.3.6.2 */
export const CONTROL = { id: 0, event: 4, value: 6, size: 8 } as const;

/** Control events. @spec VIRTIO-1.2 §5.3.6.2 */
export const VIRTIO_CONSOLE_DEVICE_READY = 0;
export const VIRTIO_CONSOLE_DEVICE_ADD = 1;
export const VIRTIO_CONSOLE_PORT_READY = 3;
export const VIRTIO_CONSOLE_CONSOLE_PORT = 4;
export const VIRTIO_CONSOLE_RESIZE = 5;
export const VIRTIO_CONSOLE_PORT_OPEN = 6;
export const VIRTIO_CONSOLE_PORT_NAME = 7;

/** A control message towards the driver. */
export interface ControlMessage {
  readonly id: number;
  readonly event: number;
  readonly value: number;
  /** What follows the fixed part. */
  readonly payload?: Uint8Array;
}

/** The fixed part, then the payload. */
export function encodeControl(message: ControlMessage): Uint8Array {
  const bytes = new Uint8Array(CONTROL.size + (message.payload?.length ?? 0));
  const view = new DataView(bytes.buffer);
  view.setUint32(CONTROL.id, message.id, true);
  view.setUint16(CONTROL.event, message.event, true);
  view.setUint16(CONTROL.value, message.value, true);
  bytes.set(message.payload ?? [], CONTROL.size);
  return bytes;
}

/** @returns undefined when the bytes are too few */
export function decodeControl(bytes: Uint8Array): ControlMessage | undefined {
  if (bytes.length < CONTROL.size) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return {
    id: view.getUint32(CONTROL.id, true),
    event: view.getUint16(CONTROL.event, true),
    value: view.getUint16(CONTROL.value, true),
  };
}

/** struct virtio_console_resize: cols, rows. Linux before 5326ab737a47 reads the two in the other order. */
export function encodeResize(size: { readonly cols: number; readonly rows: number }): Uint8Array {
  const bytes = new Uint8Array(4);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, size.cols, true);
  view.setUint16(2, size.rows, true);
  return bytes;
}
