import type { Clock } from '../base/clock.ts';
import type { Bus } from '../bus/bus.ts';
import { CMOS_PORTS, Cmos, type CmosState } from '../devices/legacy/cmos.ts';
import { I8042, I8042_IRQ, I8042_PORTS, type I8042State } from '../devices/legacy/i8042.ts';
import { COM_PORTS, type SerialBackend, Uart, UART_PORT_COUNT, type UartState } from '../devices/legacy/uart.ts';
import type { Vm } from '../hypervisor/contract.ts';

export interface LegacyOptions {
  readonly vm: Vm;
  readonly clock: Clock;
  readonly memory: { readonly lowBytes: number; readonly highBytes: number };
  /** COM1 and on; COM1 exists only with a backend, COM2 to COM4 always. */
  readonly serials: readonly SerialBackend[];
  readonly onReset: () => void;
}

export interface LegacyState {
  readonly version: 1;
  readonly cmos: CmosState;
  readonly i8042: I8042State;
  readonly serials: readonly UartState[];
}

/** What a PC kernel probes on its ports. Everything else, PCI and port 0x80 included, reads as all ones. */
export class LegacyDevices {
  readonly #cmos: Cmos;
  readonly #i8042: I8042;
  readonly serials: readonly Uart[];
  readonly #connected: { readonly port: number; readonly ports: number; readonly irq: number }[] = [];

  constructor(ports: Bus, { vm, clock, memory, serials, onReset }: LegacyOptions) {
    this.#cmos = new Cmos({ clock, memory });
    ports.attach(CMOS_PORTS.base, CMOS_PORTS.length, this.#cmos);
    this.serials = COM_PORTS.flatMap(({ base, irq }, index) => {
      const backend = serials[index];
      if (index === 0 && backend === undefined) return [];
      const uart = new Uart(vm.irqLine(irq), backend ?? { write: () => true });
      ports.attach(base, UART_PORT_COUNT, uart);
      if (backend !== undefined) this.#connected.push({ port: base, ports: UART_PORT_COUNT, irq });
      return [uart];
    });
    this.#i8042 = new I8042({ irq: vm.irqLine(I8042_IRQ), onReset });
    ports.attach(I8042_PORTS.base, I8042_PORTS.length, this.#i8042);
  }

  /** Serial ports at whose other end somebody is. */
  get connectedSerials(): readonly { readonly port: number; readonly ports: number; readonly irq: number }[] {
    return this.#connected;
  }

  save(): LegacyState {
    return {
      version: 1,
      cmos: this.#cmos.save(),
      i8042: this.#i8042.save(),
      serials: this.serials.map((uart) => uart.save()),
    };
  }

  restore(state: LegacyState): void {
    this.#cmos.restore(state.cmos);
    this.#i8042.restore(state.i8042);
    this.serials.forEach((uart, index) => {
      const saved = state.serials[index];
      if (saved !== undefined) uart.restore(saved);
    });
  }
}
