import { type DeviceConfig, defineVirtioDevice } from '../../virtio/device.ts';
import type { ConsoleBackend } from './backend.ts';
import { ConsoleDevice } from './device.ts';
import { CONFIG, VIRTIO_CONSOLE_F_MULTIPORT, VIRTIO_CONSOLE_F_SIZE, VIRTIO_ID_CONSOLE } from './protocol.ts';

export type {
  ConsoleBackend,
  ConsolePort,
  ConsoleTurn,
  PortInput,
  PortOutput,
  Terminal,
  TerminalSize,
} from './backend.ts';
export { consoleTurns } from './turns.ts';

const QUEUE_SIZE = 32;

/** virtio-console with as many ports as the backend has. @spec VIRTIO-1.2 §5.3 */
export const virtioConsole = defineVirtioDevice<ConsoleBackend>()({
  name: 'virtio-console',
  deviceId: VIRTIO_ID_CONSOLE,
  // Two for port 0, two for control, two for each further port.
  queueSizes: ({ ports }): readonly number[] => new Array<number>(2 + 2 * ports.length).fill(QUEUE_SIZE),
  features: VIRTIO_CONSOLE_F_SIZE | VIRTIO_CONSOLE_F_MULTIPORT,
  config: consoleConfig,
  activate: (activation, backend) => new ConsoleDevice(activation, backend),
});

function consoleConfig({ ports }: ConsoleBackend): DeviceConfig {
  const bytes = new Uint8Array(CONFIG.size);
  const view = new DataView(bytes.buffer);
  view.setUint32(CONFIG.max_nr_ports, ports.length, true);
  return {
    read: () => {
      const size = ports[0]?.terminal?.size();
      view.setUint16(CONFIG.cols, size?.cols ?? 0, true);
      view.setUint16(CONFIG.rows, size?.rows ?? 0, true);
      return bytes;
    },
    /** Emergency output works without any queue; it is not offered as a feature, as upstream does not. */
    write: (offset, _size, value) => {
      if (offset === CONFIG.emerg_wr) ports[0]?.output?.write(Uint8Array.of(value & 0xff));
    },
  };
}
