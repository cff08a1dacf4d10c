import type { CpuCase, CpuExecutor, CpuFault, CpuResult, CpuState as CaseState } from '../../testing/executor.ts';
import { LAYOUT, MEMORY_WINDOWS } from '../../testing/layout.ts';
import { ENGINE_BYTES, S, SEG } from '../state/layout.ts';
import { cpuModel } from '../state/cpuid.ts';
import { VECTOR } from '../system/exception.ts';
import type { CpuIo } from '../system/system-cpu.ts';
import { Cpu } from './cpu.ts';

const RAM = 4 * 1024 * 1024;
/** Physical pages that the linear pages of a case are mapped to. */
const PHYSICAL = {
  pml4: 0x1000,
  pdpt: 0x2000,
  pd: 0x3000,
  pt: 0x4000,
  pdSystem: 0x5000,
  idt: 0x6000,
  gdt: 0x7000,
  tss: 0x8000,
  stack: 0xa000,
  handlers: 0xb000,
} as const;
const PAGES: readonly (readonly [linear: number, physical: number, flags: bigint])[] = [
  [LAYOUT.lowPage, 0x10_0000, 7n],
  [LAYOUT.highPage, 0x10_1000, 7n],
  [LAYOUT.readOnlyPage, 0x10_2000, 5n],
  [LAYOUT.codePage, 0x10_3000, 5n],
];
const NX = 1n << 63n;
/** Ends a block without doing anything. */
const JUMP_TO_SELF = [0xeb, 0xfe];
const HANDLER_BYTES = 16;
/** Iterations of a repeated instruction and instructions of a sequence, together. */
const STEPS_MAX = 100_000;
const ERROR_CODES: readonly number[] = [VECTOR.DF, VECTOR.TS, VECTOR.NP, VECTOR.SS, VECTOR.GP, VECTOR.PF, VECTOR.AC];

/** Runs single-instruction cases on the software CPU: user code under real page tables, faults through a real IDT. */
export class CaseExecutor implements CpuExecutor {
  readonly name: string;
  readonly cpu: Cpu;
  readonly #memory = new WebAssembly.Memory({ initial: (ENGINE_BYTES + RAM) / 65536, maximum: (ENGINE_BYTES + RAM) / 65536, shared: true });
  readonly #ram: DataView;
  readonly #bytes: Uint8Array;

  readonly #compiles: boolean;
  #loaded = '';

  /** @param tier jit: the cases run as compiled code, as far as they can be compiled */
  constructor(tier: 'interp' | 'jit' = 'interp') {
    this.name = tier === 'jit' ? 'soft, compiled' : 'soft';
    this.#compiles = tier === 'jit';
    const { buffer } = this.#memory;
    this.#ram = new DataView(buffer as ArrayBuffer, ENGINE_BYTES, RAM);
    this.#bytes = new Uint8Array(buffer as ArrayBuffer, ENGINE_BYTES, RAM);
    this.cpu = new Cpu({ memory: this.#memory, ramBytes: RAM, model: cpuModel(), io: NO_IO, tier });
    this.#buildTables();
  }

  execute(input: CpuCase): CpuResult {
    this.#load(input);
    const end = BigInt(LAYOUT.instruction + input.bytes.length);
    for (let steps = 0; steps < STEPS_MAX; steps++) {
      // Steps are never compiled: there the case ends at the budget, which is used up after one block.
      if (this.#compiles) this.cpu.run(0);
      else this.cpu.step();
      const { rip, cpl } = this.cpu.state;
      if (cpl === 0 || rip < BigInt(LAYOUT.instruction) || rip >= end) break;
    }
    const fault = this.cpu.state.cpl === 0 ? this.#unwindFault() : undefined;
    return { after: this.#save(), fault };
  }

  #buildTables(): void {
    const set = (at: number, value: bigint): void => this.#ram.setBigUint64(at, value, true);
    set(PHYSICAL.pml4, BigInt(PHYSICAL.pdpt) | 7n);
    set(PHYSICAL.pdpt, BigInt(PHYSICAL.pd) | 7n);
    set(PHYSICAL.pd, 0x83n); // the first 2 MiB, supervisor only
    set(PHYSICAL.pd + (LAYOUT.lowPage >>> 21) * 8, BigInt(PHYSICAL.pt) | 7n);
    for (const [linear, physical, flags] of PAGES) {
      const nx = linear === LAYOUT.codePage ? 0n : NX;
      set(PHYSICAL.pt + ((linear >>> 12) & 511) * 8, BigInt(physical) | flags | nx);
    }
    for (let vector = 0; vector < 32; vector++) {
      const to = PHYSICAL.handlers + vector * HANDLER_BYTES;
      set(PHYSICAL.idt + vector * 16, BigInt(to & 0xffff) | (0x08n << 16n) | (0xee00n << 32n) | (BigInt(to >>> 16) << 48n));
      set(PHYSICAL.idt + vector * 16 + 8, 0n);
    }
    set(PHYSICAL.gdt + 8, 0x00af_9b00_0000_ffffn); // ring 0 code
    set(PHYSICAL.gdt + 16, 0x00cf_9300_0000_ffffn);
    set(PHYSICAL.gdt + 40, 0x00cf_f300_0000_ffffn); // ring 3 data
    set(PHYSICAL.gdt + 48, 0x00af_fb00_0000_ffffn); // ring 3 code
    set(PHYSICAL.tss + 4, BigInt(PHYSICAL.stack + 0x1000));
    this.#ram.setUint16(PHYSICAL.tss + 0x66, 0xffff, true); // no I/O permission bitmap
  }

  #load({ bytes, before }: CpuCase): void {
    const { state } = this.cpu;
    this.#bytes.fill(0, 0x10_0000, 0x10_3000);
    for (const window of MEMORY_WINDOWS) {
      this.#bytes.set(before.memory.subarray(window.offset, window.offset + window.length), physicalOf(window.address));
    }
    this.#bytes.fill(0xcc, 0x10_3000, 0x10_4000);
    this.#bytes.set(bytes, physicalOf(LAYOUT.instruction));
    if (this.#compiles) this.#bytes.set(JUMP_TO_SELF, physicalOf(LAYOUT.instruction) + bytes.length);
    const loaded = bytes.join();
    if (loaded !== this.#loaded) this.cpu.mmu.codePages.invalidate(0x10_3000);
    this.#loaded = loaded;
    for (let i = 0; i < 16; i++) state.setGpr(i, before.gpr[i]!);
    state.rip = before.rip;
    state.setRflags(before.rflags);
    for (let i = 0; i < 16; i++) state.bytes.set(before.xmm.subarray(i * 16, i * 16 + 16), S.xmm + i * 32);
    state.set32(S.mxcsr, before.mxcsr);
    state.set32(S.fcw, before.fcw);
    state.set32(S.fsw, before.fsw);
    state.set32(S.ftw, before.ftw);
    const top = (before.fsw >> 11) & 7;
    for (let i = 0; i < 8; i++) state.bytes.set(before.st.subarray(i * 10, i * 10 + 10), S.st + ((i + top) & 7) * 16);
    this.#loadSystem(before);
    this.cpu.mmu.updateMode();
    this.cpu.mmu.flushAll();
    this.cpu.modeChanged();
  }

  #loadSystem(before: CaseState): void {
    const { state } = this.cpu;
    const data = { base: 0n, limit: 0xffff_ffff, attributes: 0xc0f3 };
    state.setSegment(SEG.CS, { selector: 0x33, base: 0n, limit: 0xffff_ffff, attributes: 0xa0fb });
    state.setSegment(SEG.SS, { selector: 0x2b, ...data });
    for (const seg of [SEG.DS, SEG.ES, SEG.FS, SEG.GS]) state.setSegment(seg, { selector: 0, ...data });
    state.setSegment(SEG.TR, { selector: 0x40, base: BigInt(PHYSICAL.tss), limit: 0x67, attributes: 0x8b });
    state.set64(S.segBase + SEG.FS * 8, before.fsBase);
    state.set64(S.segBase + SEG.GS * 8, before.gsBase);
    state.set32(S.cpl, 3);
    state.set64(S.gdtBase, BigInt(PHYSICAL.gdt));
    state.set32(S.gdtLimit, 0x7f);
    state.set64(S.idtBase, BigInt(PHYSICAL.idt));
    state.set32(S.idtLimit, 0x1ff);
    state.set64(S.cr0, 0x8005_0033n);
    state.set64(S.cr3, BigInt(PHYSICAL.pml4));
    state.set64(S.cr4, 0x5_0620n);
    state.set64(S.efer, 0xd01n);
    state.set32(S.shadow, 0);
    state.set64(S.xcr0, 3n);
  }

  /** The state at the fault, from the frame that the delivery pushed. */
  #unwindFault(): CpuFault {
    const { state } = this.cpu;
    const vector = (Number(state.rip) - PHYSICAL.handlers) / HANDLER_BYTES;
    let at = Number(state.rsp);
    const pop = (): bigint => {
      const value = this.#ram.getBigUint64(at, true);
      at += 8;
      return value;
    };
    const errorCode = ERROR_CODES.includes(vector) ? Number(pop()) : 0;
    state.rip = pop();
    pop();
    state.setRflags(Number(pop()) & ~0x1_0000);
    state.rsp = pop();
    return { vector, errorCode, address: vector === VECTOR.PF ? state.get64(S.cr2) : 0n };
  }

  #save(): CaseState {
    const { state } = this.cpu;
    const fsw = state.get32(S.fsw) & 0xffff;
    const after: CaseState = {
      gpr: new BigUint64Array(16),
      rip: state.rip,
      rflags: state.rflags(),
      fsBase: state.segBase(SEG.FS),
      gsBase: state.segBase(SEG.GS),
      xmm: new Uint8Array(256),
      mxcsr: state.get32(S.mxcsr),
      fcw: state.get32(S.fcw) & 0xffff,
      fsw,
      ftw: state.get32(S.ftw) & 0xff,
      st: new Uint8Array(80),
      memory: new Uint8Array(832),
    };
    for (let i = 0; i < 16; i++) {
      after.gpr[i] = state.gpr(i);
      after.xmm.set(state.bytes.subarray(S.xmm + i * 32, S.xmm + i * 32 + 16), i * 16);
    }
    const top = (fsw >> 11) & 7;
    for (let i = 0; i < 8; i++) {
      const slot = S.st + ((i + top) & 7) * 16;
      after.st.set(state.bytes.subarray(slot, slot + 10), i * 10);
    }
    for (const window of MEMORY_WINDOWS) {
      const from = physicalOf(window.address);
      after.memory.set(this.#bytes.subarray(from, from + window.length), window.offset);
    }
    return after;
  }
}

function physicalOf(linear: number): number {
  for (const [page, physical] of PAGES) {
    if (linear >= page && linear < page + 4096) return physical + linear - page;
  }
  throw new RangeError(`Cannot place case memory: 0x${linear.toString(16)} is not mapped`);
}

/** Ports read as ones; nothing else is asked for. */
const NO_IO: CpuIo & { mmioRead(): number; mmioWrite(): void } = {
  portRead: () => 0xffff_ffff,
  portWrite: () => {},
  mmioRead: () => 0xffff_ffff,
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

/** For test/differential/run.mjs. */
export function createExecutor(): CpuExecutor {
  return new CaseExecutor();
}
