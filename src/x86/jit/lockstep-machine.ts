import { Cpu } from '../interp/cpu.ts';
import { cpuModel } from '../state/cpuid.ts';
import { ENGINE_BYTES, S, SEG } from '../state/layout.ts';

const RAM = 8 << 20;
export const PLACE = { idt: 0x2000, handlers: 0x4000, tables: 0x8000, stack: 0x10_0000, data: 0x20_0000, code: 0x40_0000 } as const;
/** Data pages: 16 writable ones, a hole, and a read-only one. */
export const DATA_BYTES = 16 * 4096;
const INTERRUPT_VECTOR = 0x40;
const HANDLER_BYTES = 16;
/** Tables and handlers, which programs may damage. */
export const LOW_BYTES = 0x1_0000;

/** A small machine in 64-bit mode: every exception halts, vector 0x40 returns. */
export class LockstepMachine {
  readonly cpu: Cpu;
  readonly ram: Uint8Array;
  readonly #view: DataView;

  readonly #mxcsr: number;

  /** @param precise false: flags of MXCSR that compiled code may forget to raise are set from the start */
  constructor(tier: 'interp' | 'jit', precise: boolean) {
    this.#mxcsr = precise ? 0x1f80 : 0x1fa2;
    const pages = (ENGINE_BYTES + RAM) / 65536;
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    this.ram = new Uint8Array(memory.buffer as ArrayBuffer, ENGINE_BYTES, RAM);
    this.#view = new DataView(memory.buffer as ArrayBuffer, ENGINE_BYTES, RAM);
    this.cpu = new Cpu({ memory, ramBytes: RAM, model: cpuModel(), io: NO_IO, tier, precise });
  }

  #writeTables(): void {
    const set = (at: number, value: number | bigint): void => this.#view.setBigUint64(at, BigInt(value), true);
    const { tables, idt, handlers } = PLACE;
    set(tables, tables + 0x1003);
    set(tables + 0x1000, tables + 0x2003);
    set(tables + 0x2000, 0x83);
    set(tables + 0x2008, tables + 0x3003);
    for (let i = 0; i < 16; i++) set(tables + 0x3000 + i * 8, (PLACE.data + i * 4096) | 3);
    set(tables + 0x3000 + 17 * 8, (PLACE.data + 17 * 4096) | 1);
    set(tables + 0x2010, PLACE.code | 0x83);
    set(0x1008, 0x00af_9b00_0000_ffffn);
    set(0x1010, 0x00cf_9300_0000_ffffn);
    for (let vector = 0; vector < 256; vector++) {
      const to = BigInt(handlers + vector * HANDLER_BYTES);
      set(idt + vector * 16, (to & 0xffffn) | (8n << 16n) | (0x8en << 40n) | ((to >> 16n) << 48n));
      set(idt + vector * 16 + 8, 0);
      this.ram.set(vector === INTERRUPT_VECTOR ? [0x48, 0xcf] : [0xf4, 0xeb, 0xfd], Number(to));
    }
  }

  /** Puts a program and its data in place and forgets all translations. */
  load(code: Uint8Array, data: Uint8Array, registers: readonly bigint[]): void {
    const { state, mmu } = this.cpu;
    this.ram.fill(0, 0, LOW_BYTES);
    this.#writeTables();
    this.ram.fill(0xf4, PLACE.code, PLACE.code + 8192);
    this.ram.set(code, PLACE.code);
    this.ram.set(data, PLACE.data);
    this.ram.fill(0, PLACE.stack - 8192, PLACE.stack + 4096);
    mmu.codePages.invalidate(PLACE.handlers);
    mmu.codePages.invalidate(PLACE.code);
    mmu.codePages.invalidate(PLACE.code + 4096);
    registers.forEach((value, i) => void state.setGpr(i, value));
    for (let i = 0; i < 16; i++) state.bytes.set(data.subarray(i * 16, i * 16 + 16), S.xmm + i * 32);
    state.rip = BigInt(PLACE.code);
    state.setRflags(0x202);
    state.set32(S.shadow, 0);
    state.set32(S.mxcsr, this.#mxcsr);
    state.set32(S.fcw, 0x37f);
    state.set32(S.fsw, 0);
    state.set32(S.ftw, 0);
    state.bytes.fill(0, S.st, S.st + 128);
    this.#loadSystem();
    mmu.updateMode();
    mmu.flushAll();
    this.cpu.modeChanged();
  }

  #loadSystem(): void {
    const { state } = this.cpu;
    state.setSegment(SEG.CS, { selector: 8, base: 0n, limit: 0xffff_ffff, attributes: 0xa09b });
    for (const seg of [SEG.SS, SEG.DS, SEG.ES, SEG.FS, SEG.GS]) state.setSegment(seg, { selector: 16, base: 0n, limit: 0xffff_ffff, attributes: 0xc093 });
    state.set64(S.segBase + SEG.FS * 8, 0x100n);
    state.set64(S.segBase + SEG.GS * 8, 0x200n);
    state.set32(S.cpl, 0);
    state.set64(S.gdtBase, 0x1000n);
    state.set32(S.gdtLimit, 0x17);
    state.set64(S.idtBase, BigInt(PLACE.idt));
    state.set32(S.idtLimit, 0xfff);
    state.set64(S.cr0, 0x8005_0033n);
    state.set64(S.cr3, BigInt(PLACE.tables));
    state.set64(S.cr4, 0x620n);
    state.set64(S.efer, 0xd00n);
    state.set64(S.xcr0, 3n);
  }

  interrupt(): void {
    if (this.cpu.interruptible) this.cpu.interrupt(INTERRUPT_VECTOR);
  }

  get retired(): bigint {
    return this.cpu.state.get64(S.retired);
  }

  /** Everything that a program can see, for comparison. */
  describe(): string {
    const { state } = this.cpu;
    const lines = Array.from({ length: 16 }, (_, i) => `r${i}=${state.gpr(i).toString(16)}`);
    lines.push(
      `rip=${state.rip.toString(16)}`,
      `rflags=${state.rflags().toString(16)}`,
      `mxcsr=${state.get32(S.mxcsr).toString(16)}`,
      `cr2=${state.get64(S.cr2).toString(16)}`,
    );
    for (let i = 0; i < 16; i++) lines.push(`xmm${i}=${hex(state.bytes.subarray(S.xmm + i * 32, S.xmm + i * 32 + 16))}`);
    for (let i = 0; i < 8; i++) lines.push(`mm${i}=${hex(state.bytes.subarray(S.st + i * 16, S.st + i * 16 + 10))}`);
    return lines.join('\n');
  }
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

const NO_IO = {
  portRead: () => 0xffff_ffff,
  portWrite: () => {},
  mmioRead: () => 0xffff_ffff,
  mmioWrite: () => {},
  tsc: () => 0n,
  wallClockNs: () => 0n,
  readApicMsr: () => undefined,
  writeApicMsr: () => false,
  readTpr: () => 0,
  writeTpr: () => {},
  random: (into: Uint8Array) => void into.fill(0x5a),
  hasInterrupt: () => false,
};
