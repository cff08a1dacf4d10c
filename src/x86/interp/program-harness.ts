import { cpuModel } from '../state/cpuid.ts';
import { ENGINE_BYTES, GPR, S, SEG } from '../state/layout.ts';
import { CR0, CR4, EFER, SHADOW } from '../system/control-bits.ts';
import { powerOn } from '../system/power-on.ts';
import { FLAG } from '../state/state.ts';
import { Cpu } from './cpu.ts';

const RAM = 8 << 20;
const HANDLER_BYTES = 16;
/** Vectors with an error code. */
const WITH_CODE: readonly number[] = [8, 10, 11, 12, 13, 14, 17];
const TURNS_MAX = 2000;

/** Guest-physical places of a test program. Everything is mapped onto itself, for all privileges. */
export const AT = {
  gdt: 0x1000,
  idt: 0x2000,
  tss: 0x3000,
  otherTss: 0x3800,
  handlers: 0x4000,
  tables: 0x8000,
  /** Tops of stacks. */
  stack: 0x2_0000,
  handlerStack: 0x3_0000,
  code: 0x4_0000,
  data: 0x20_0000,
} as const;

/** Selectors. */
export const SEL = { code64: 0x08, code32: 0x10, data: 0x18, userData: 0x23, user64: 0x2b, user32: 0x33, code16: 0x38, tss: 0x40, data16: 0x50 } as const;
/** INT with this vector ends a program. */
export const END = 0x80;

/** An exception or interrupt, as its handler finds it. */
export interface ProgramEvent {
  readonly vector: number;
  readonly errorCode: number | undefined;
  readonly rip: number;
  readonly rflags: number;
  readonly dr6: number;
  readonly cr2: number;
}

export type ProgramMode = 'long' | 'user64' | 'protected' | 'user32' | 'real';

/**
 * Runs a hand-assembled program with real tables. Each handler is HLT and IRET: the test sees the event between the two, and
 * may change the frame.
 */
export class Program {
  readonly cpu: Cpu;
  readonly ram: Uint8Array;
  readonly view: DataView;
  readonly events: ProgramEvent[] = [];
  /** Called at each event, while its frame is on the stack. */
  onEvent: (event: ProgramEvent, frame: number) => void = () => {};
  /** Ports written and read, in order. */
  readonly ports: { port: number; value?: number }[] = [];
  readonly #mode: ProgramMode;

  constructor(mode: ProgramMode, code: readonly number[], tier: 'interp' | 'jit' = 'interp') {
    this.#mode = mode;
    const pages = (ENGINE_BYTES + RAM) / 65536;
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    this.ram = new Uint8Array(memory.buffer as ArrayBuffer, ENGINE_BYTES, RAM);
    this.view = new DataView(memory.buffer as ArrayBuffer, ENGINE_BYTES, RAM);
    this.cpu = new Cpu({ memory, ramBytes: RAM, model: cpuModel(), io: this.#io(), tier });
    powerOn(this.cpu);
    this.ram.set(code, AT.code);
    this.#writeGdt();
    if (mode === 'real') this.#enterReal();
    else if (mode === 'long' || mode === 'user64') this.#enterLong();
    else this.#enterProtected();
    this.cpu.mmu.updateMode();
    this.cpu.mmu.flushAll();
    this.cpu.modeChanged();
  }

  /** Runs until INT 80h, HLT outside a handler, or shutdown. @returns the events, without the last INT */
  run(budget = 1000): readonly ProgramEvent[] {
    for (let turns = 0; turns < TURNS_MAX; turns++) {
      const end = this.cpu.run(budget);
      if (end === 'shutdown') throw new Error('Cannot go on: triple fault');
      if (end !== 'halted') continue;
      const event = this.#event();
      if (event === undefined || event.vector === END) return this.events;
      this.events.push(event);
      this.onEvent(event, this.#stack() + (event.errorCode === undefined ? 0 : this.#width));
      this.cpu.state.set32(S.shadow, this.cpu.state.get32(S.shadow) & ~SHADOW.halted);
    }
    throw new Error('Cannot end: the program runs on');
  }

  reg(index: number): bigint {
    return this.cpu.state.gpr(index);
  }

  setReg(index: number, value: number | bigint): this {
    this.cpu.state.setGpr(index, BigInt.asUintN(64, BigInt(value)));
    return this;
  }

  /** Sets DR0-DR3 or DR7 as MOV does. */
  setDebug(index: number, value: number | bigint): this {
    this.cpu.state.set64(S.dr + index * 8, BigInt.asUintN(64, BigInt(value)));
    this.cpu.mmu.updateBreakpoints();
    return this;
  }

  descriptor(selector: number, value: bigint): void {
    this.view.setBigUint64(AT.gdt + (selector & 0xfff8), value, true);
  }

  get #width(): number {
    if (this.#mode === 'real') return 2;
    return this.#mode === 'long' || this.#mode === 'user64' ? 8 : 4;
  }

  #event(): ProgramEvent | undefined {
    const { state } = this.cpu;
    const linear = Number(state.rip) + Number(state.segBase(SEG.CS));
    const vector = Math.floor((linear - AT.handlers) / HANDLER_BYTES);
    if (vector < 0 || vector > 255) return undefined;
    const width = this.#width;
    const stack = this.#stack();
    const word = (n: number): number => (width === 2 ? this.view.getUint16(stack + n * 2, true) : this.view.getUint32(stack + n * width, true));
    const code = width !== 2 && WITH_CODE.includes(vector) ? word(0) : undefined;
    const first = code === undefined ? 0 : 1;
    return {
      vector,
      errorCode: code,
      rip: word(first),
      rflags: word(first + 2),
      dr6: state.get32(S.dr + 48) >>> 0,
      cr2: state.get32(S.cr2) >>> 0,
    };
  }

  /** Linear address of the top of the stack. */
  #stack(): number {
    const { state } = this.cpu;
    const narrow = this.#width !== 8 && (state.attributes(SEG.SS) & 0x4000) === 0;
    return Number(state.segBase(SEG.SS)) + Number(narrow ? state.rsp & 0xffffn : state.rsp);
  }

  #writeGdt(): void {
    this.descriptor(SEL.code64, 0x00af_9b00_0000_ffffn);
    this.descriptor(SEL.code32, 0x00cf_9b00_0000_ffffn);
    this.descriptor(SEL.data, 0x00cf_9300_0000_ffffn);
    this.descriptor(SEL.userData, 0x00cf_f300_0000_ffffn);
    this.descriptor(SEL.user64, 0x00af_fb00_0000_ffffn);
    this.descriptor(SEL.user32, 0x00cf_fb00_0000_ffffn);
    this.descriptor(SEL.code16, 0x0000_9b00_0000_ffffn);
    this.descriptor(SEL.data16, 0x0000_9300_0000_ffffn);
    this.descriptor(SEL.tss, 0x0000_8b00_0000_0067n | (BigInt(AT.tss) << 16n));
  }

  #enterLong(): void {
    const { state } = this.cpu;
    const set = (at: number, value: bigint): void => this.view.setBigUint64(at, value, true);
    const { tables } = AT;
    set(tables, BigInt(tables + 0x1007));
    set(tables + 0x1000, BigInt(tables + 0x2007));
    for (let i = 0; i < 4; i++) set(tables + 0x2000 + i * 8, BigInt(tables + 0x3000 + i * 0x1000) | 7n);
    for (let i = 0; i < RAM / 4096; i++) set(tables + 0x3000 + i * 8, BigInt(i * 4096) | 7n);
    for (let vector = 0; vector < 256; vector++) {
      const to = this.#handler(vector, [0x48, 0x83, 0xc4, 8], [0x48, 0xcf]);
      set(AT.idt + vector * 16, BigInt(to & 0xffff) | (BigInt(SEL.code64) << 16n) | (0xeen << 40n) | (BigInt(to >>> 16) << 48n));
      set(AT.idt + vector * 16 + 8, 0n);
    }
    set(AT.tss + 4, BigInt(AT.handlerStack));
    state.set64(S.cr3, BigInt(tables));
    state.set64(S.cr4, BigInt(CR4.PAE | CR4.OSFXSR | CR4.DE));
    state.set64(S.efer, BigInt(EFER.LME | EFER.LMA | EFER.SCE | EFER.NXE));
    state.set64(S.cr0, BigInt((CR0.PE | CR0.PG | CR0.WP | CR0.ET) >>> 0));
    this.#segments(this.#mode === 'user64' ? SEL.user64 : SEL.code64, 0xa09b);
    this.#finish();
  }

  #enterProtected(): void {
    const { state } = this.cpu;
    for (let vector = 0; vector < 256; vector++) this.setGate(vector, this.#handler(vector, [0x83, 0xc4, 4], [0xcf]));
    this.view.setUint32(AT.tss + 4, AT.handlerStack, true);
    this.view.setUint16(AT.tss + 8, SEL.data, true);
    this.view.setUint16(AT.tss + 0x66, 0x68, true);
    state.set64(S.cr4, BigInt(CR4.OSFXSR | CR4.DE));
    state.set64(S.cr0, BigInt(CR0.PE | CR0.ET));
    this.#segments(this.#mode === 'user32' ? SEL.user32 : SEL.code32, 0xc09b);
    this.#finish();
  }

  /** A 32-bit interrupt gate for everybody. */
  setGate(vector: number, offset: number, selector: number = SEL.code32, attributes = 0xee): void {
    this.view.setUint32(AT.idt + vector * 8, ((selector << 16) | (offset & 0xffff)) >>> 0, true);
    this.view.setUint32(AT.idt + vector * 8 + 4, ((offset & 0xffff_0000) | (attributes << 8)) >>> 0, true);
  }

  #enterReal(): void {
    const { state } = this.cpu;
    for (let vector = 0; vector < 256; vector++) {
      const to = this.#handler(vector, [], [0xcf]);
      this.view.setUint16(vector * 4, to & 0xf, true);
      this.view.setUint16(vector * 4 + 2, to >>> 4, true);
    }
    state.setSegment(SEG.CS, { selector: AT.code >> 4, base: BigInt(AT.code), limit: 0xffff, attributes: 0x9b });
    state.setSegment(SEG.SS, { selector: 0x1000, base: 0x1_0000n, limit: 0xffff, attributes: 0x93 });
    state.rip = 0n;
    state.rsp = 0xfff0n;
  }

  #handler(vector: number, dropCode: readonly number[], leave: readonly number[]): number {
    const to = AT.handlers + vector * HANDLER_BYTES;
    this.ram.set([0xf4, ...(WITH_CODE.includes(vector) ? dropCode : []), ...leave], to);
    return to;
  }

  #segments(code: number, attributes: number): void {
    const { state } = this.cpu;
    const dpl = (code & 3) << 5;
    const flat = { base: 0n, limit: 0xffff_ffff };
    state.setSegment(SEG.CS, { selector: code, ...flat, attributes: attributes | dpl });
    const selector = dpl === 0 ? SEL.data : SEL.userData;
    for (const seg of [SEG.SS, SEG.DS, SEG.ES, SEG.FS, SEG.GS]) state.setSegment(seg, { selector, ...flat, attributes: 0xc093 | dpl });
    state.set32(S.cpl, code & 3);
  }

  #finish(): void {
    const { state } = this.cpu;
    state.setSegment(SEG.TR, { selector: SEL.tss, base: BigInt(AT.tss), limit: 0x67, attributes: 0x8b });
    state.set64(S.gdtBase, BigInt(AT.gdt));
    state.set32(S.gdtLimit, 0xff);
    state.set64(S.idtBase, BigInt(AT.idt));
    state.set32(S.idtLimit, 0xfff);
    state.rip = BigInt(AT.code);
    state.setGpr(GPR.RSP, BigInt(AT.stack));
    state.setRflags(FLAG.fixed | FLAG.IF);
  }

  #io(): ConstructorParameters<typeof Cpu>[0]['io'] {
    return {
      portRead: (port) => {
        this.ports.push({ port });
        return 0x55;
      },
      portWrite: (port, _bytes, value) => void this.ports.push({ port, value }),
      mmioRead: () => 0,
      mmioWrite: () => {},
      tsc: () => 0n,
      wallClockNs: () => 0n,
      readApicMsr: () => undefined,
      writeApicMsr: () => false,
      hasInterrupt: () => false,
      readTpr: () => 0,
      writeTpr: () => {},
      random: (into) => void into.fill(0x5a),
    };
  }
}
