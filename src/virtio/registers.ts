export type Access = 'r' | 'w' | 'rw';

export interface Register {
  /** Byte offset in the device's window; every register is 32 bits wide. */
  readonly at: number;
  readonly access: Access;
}

/** Keeps the names as literal types, so that a missing handler is a compile error. */
function registers<const Table extends Record<string, Register>>(table: Table): Table {
  return table;
}

/**
 * virtio-mmio registers, named as in the spec's own table. Legacy (version 1) registers do not exist here.
 *
 * @spec VIRTIO-1.2 §4.2.2
 * @unsupported VIRTIO-1.2 §2.6.1 queue reset (QueueReset)
 */
export const MMIO = registers({
  MagicValue: { at: 0x000, access: 'r' },
  Version: { at: 0x004, access: 'r' },
  DeviceID: { at: 0x008, access: 'r' },
  VendorID: { at: 0x00c, access: 'r' },
  DeviceFeatures: { at: 0x010, access: 'r' }, // the 32 bits that DeviceFeaturesSel chooses
  DeviceFeaturesSel: { at: 0x014, access: 'w' },
  DriverFeatures: { at: 0x020, access: 'w' },
  DriverFeaturesSel: { at: 0x024, access: 'w' },
  QueueSel: { at: 0x030, access: 'w' },
  QueueNumMax: { at: 0x034, access: 'r' }, // 0: no such queue
  QueueNum: { at: 0x038, access: 'w' },
  QueueReady: { at: 0x044, access: 'rw' },
  QueueNotify: { at: 0x050, access: 'w' }, // value: queue index
  InterruptStatus: { at: 0x060, access: 'r' },
  InterruptACK: { at: 0x064, access: 'w' },
  Status: { at: 0x070, access: 'rw' },
  QueueDescLow: { at: 0x080, access: 'w' },
  QueueDescHigh: { at: 0x084, access: 'w' },
  QueueDriverLow: { at: 0x090, access: 'w' },
  QueueDriverHigh: { at: 0x094, access: 'w' },
  QueueDeviceLow: { at: 0x0a0, access: 'w' },
  QueueDeviceHigh: { at: 0x0a4, access: 'w' },
  SHMSel: { at: 0x0ac, access: 'w' },
  SHMLenLow: { at: 0x0b0, access: 'r' }, // all ones, both halves: no such region
  SHMLenHigh: { at: 0x0b4, access: 'r' },
  SHMBaseLow: { at: 0x0b8, access: 'r' },
  SHMBaseHigh: { at: 0x0bc, access: 'r' },
  ConfigGeneration: { at: 0x0fc, access: 'r' },
});

/** Device configuration space starts here and ends with the window. */
export const CONFIG_START = 0x100;
/** Bytes of one device's window. */
export const WINDOW_BYTES = 0x1000;

export const MAGIC = 0x7472_6976; // "virt", little-endian
export const VERSION = 2;
/** libkrun's vendor number. */
export const VENDOR = 0;

type Table = typeof MMIO;
type WithAccess<Wanted extends Access> = {
  [Name in keyof Table]: Table[Name]['access'] extends Wanted ? Name : never;
}[keyof Table];

export type ReadableRegister = WithAccess<'r' | 'rw'>;
export type WritableRegister = WithAccess<'w' | 'rw'>;
export type ReadHandlers = Readonly<Record<ReadableRegister, () => number>>;
export type WriteHandlers = Readonly<Record<WritableRegister, (value: number) => void>>;

/** Handlers by register number (offset / 4), so that an access is one array index. Gaps are undefined. */
export function byNumber<Handler>(handlers: Readonly<Record<string, Handler>>): readonly (Handler | undefined)[] {
  const list = new Array<Handler | undefined>(CONFIG_START / 4).fill(undefined);
  for (const [name, handler] of Object.entries(handlers)) list[MMIO[name as keyof Table].at / 4] = handler;
  return list;
}
