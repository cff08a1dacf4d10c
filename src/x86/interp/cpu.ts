import { Decoder } from '../decode/decode.ts';
import type { CodeMode, Instruction } from '../decode/instruction.ts';
import { OpcodeTables } from '../decode/tables.ts';
import { DEFINITIONS } from '../isa/index.ts';
import { ACCESS } from '../mmu/access.ts';
import { Jit } from '../jit/jit.ts';
import { Mmu } from '../mmu/mmu.ts';
import { ENGINE_BYTES, S, SEG } from '../state/layout.ts';
import type { CpuModel } from '../state/cpuid.ts';
import { CpuState, FLAG } from '../state/state.ts';
import { linearAddressOf } from '../system/addressing.ts';
import { isNonCanonical } from '../system/canonical.ts';
import { SHADOW } from '../system/control-bits.ts';
import { hitsInstructionBreakpoint, needsDebugStepping, takesTrap } from '../system/debug.ts';
import { deliverDebugTrap, deliverException, deliverInterrupt } from '../system/delivery.ts';
import { GuestException, VECTOR } from '../system/exception.ts';
import { popf } from '../system/flags.ts';
import { iret } from '../system/returns.ts';
import type { CpuIo, SystemCpu } from '../system/system-cpu.ts';
import { BlockCache, type CodePlace } from './block-cache.ts';
import { runHelper } from './helpers.ts';
import { interpreterModule } from './interpreter-module.ts';
import { JumpCache } from './jump-cache.ts';
import { codeMode, modeIndexOf } from './mode.ts';
import { CpuProfile, LEAVES, type ProfileReport } from './profile.ts';
import { EXIT, R } from './record.ts';
import { Templates, type WriteRecords } from './templates.ts';
import { Translator } from './translate.ts';

/** Why run() returned. */
export type RunEnd = 'budget' | 'halted' | 'shutdown';

export interface CpuOptions {
  readonly memory: WebAssembly.Memory;
  readonly ramBytes: number;
  readonly model: CpuModel;
  readonly io: CpuIo & { mmioRead(gpa: number, size: 1 | 2 | 4): number; mmioWrite(gpa: number, size: 1 | 2 | 4, value: number): void };
  /** interp: no compiled code; jit: everything is compiled at once, for tests; mixed: what is hot is compiled. */
  readonly tier?: 'interp' | 'jit' | 'mixed';
  /** false: compiled code need not raise PE and DE in MXCSR; true by default. */
  readonly precise?: boolean;
  /** Counts what happens, for profile(). */
  readonly profiled?: boolean;
}

/** One CPU as plain data. */
export interface CpuSnapshot {
  readonly version: 1;
  /** The bytes of layout.ts's S: a change of that layout is a change of the version. */
  readonly state: Uint8Array;
}

/**
 * One software x86-64 CPU: generated code runs until something needs TypeScript, which happens here. Knows no device; the
 * owner runs it in slices and injects interrupts between them.
 */
export class Cpu implements SystemCpu, CodePlace {
  readonly state: CpuState;
  readonly mmu: Mmu;
  readonly io: CpuIo;
  readonly model: CpuModel;
  instructionRip = 0n;
  readonly jit: Jit | undefined;

  readonly #run: (record: number) => number;
  readonly #profile: CpuProfile | undefined;
  /** What the generated code returned last. */
  #lastExit = 0;
  readonly #view: DataView;
  readonly #jumps: JumpCache;
  readonly #i32: Int32Array;
  readonly #translator: Translator;
  readonly #blocks: BlockCache;
  #modeIndex = -1;
  #mode: CodeMode;
  #pending: GuestException | undefined;
  /** Budget taken away by requestExit, so that the count of instructions stays right. */
  #withheld = 0;
  #stepping = false;
  /** A data breakpoint matched: the instruction runs again, alone. */
  #restart = false;
  /** Exceptions delivered. */
  #events = 0;
  /** The last instruction in TypeScript was one that takes RFLAGS from the stack. */
  #popsFlags = false;
  /** How often all records went. */
  #resets = 0;
  #failure: unknown;
  // CodePlace of the look-up at hand.
  physical = 0;
  #linearLow = 0;
  #linearHigh = 0;

  constructor(options: CpuOptions) {
    const { buffer } = options.memory;
    this.state = new CpuState(buffer);
    this.io = options.io;
    this.model = options.model;
    this.#view = new DataView(buffer as ArrayBuffer);
    this.#jumps = new JumpCache(buffer, this.state);
    this.#i32 = new Int32Array(buffer as ArrayBuffer);
    this.mmu = new Mmu({ buffer, state: this.state, ramBytes: options.ramBytes, mmio: options.io });
    const { module, handlers } = interpreterModule();
    this.#translator = new Translator(this.#view, handlers, DEFINITIONS);
    const decoder = new Decoder(tables());
    const instance = new WebAssembly.Instance(module, { h: this.#imports(options.memory) });
    this.#run = instance.exports['run'] as (record: number) => number;
    const templates = new Templates(buffer, decoder.tables, instance.exports['writeRecords'] as WriteRecords);
    const { codePages } = this.mmu;
    this.#blocks = new BlockCache({ buffer, decoder, translator: this.#translator, templates, codePages, ramBytes: options.ramBytes });
    this.#blocks.onReset = () => this.#reset();
    this.#blocks.onStale = () => this.#jumps.dropStale();
    this.mmu.onFlush = (supervisor) => this.#jumps.clear(supervisor);
    this.mmu.onFlushPage = (low, high) => this.#jumps.flushPage(low, high);
    const { tier = 'interp', precise = true, profiled = false, memory } = options;
    this.#profile = profiled ? new CpuProfile() : undefined;
    const immediate = tier === 'jit';
    if (tier !== 'interp')
      this.jit = new Jit({ memory, interpreter: instance.exports, blocks: this.#blocks, translate: this.#translateCode, precise, immediate, profiled });
    this.#mode = codeMode(0);
    this.modeChanged();
  }

  /** All records are gone. */
  #reset(): void {
    this.#resets++;
    this.jit?.dropAll();
    this.#jumps.clear(true);
  }

  // --- Running ------------------------------------------------------------------------------------------------------

  /** Runs about `budget` instructions, or until HLT or a triple fault. The state is complete when it returns. */
  run(budget: number): RunEnd {
    if ((this.state.get32(S.shadow) & SHADOW.halted) !== 0) return 'halted';
    if (!this.#stepping && this.#debugs) return this.#runStepped(budget);
    this.#set32(S.budget, budget);
    this.#withheld = 0;
    const end = this.#loop();
    this.jit?.tick(budget - this.#get32(S.budget) - this.#withheld);
    this.state.set64(S.retired, this.state.get64(S.retired) + BigInt(Math.max(0, budget - this.#get32(S.budget) - this.#withheld)));
    return this.#stepping || end === 'shutdown' ? end : this.#settle(end);
  }

  /** STI and MOV SS keep interrupts away for one instruction, which runs here. HLT after STI is that instruction. */
  #pastShadow(end: RunEnd): RunEnd {
    const shadow = this.#get32(S.shadow);
    if ((shadow & (SHADOW.interrupts | SHADOW.debug)) === 0) return end;
    this.#set32(S.shadow, shadow & ~(SHADOW.interrupts | SHADOW.debug));
    return end === 'halted' ? end : this.step();
  }

  /** Executes exactly one instruction (one iteration of a repeated one) and delivers nothing but its own exception. */
  step(): RunEnd {
    this.#stepping = true;
    this.mmu.stepping = true;
    try {
      return this.run(0);
    } finally {
      this.#stepping = false;
      this.mmu.stepping = false;
    }
  }

  /** Whether the next instructions run one at a time. */
  get #debugs(): boolean {
    return needsDebugStepping(this.state) || this.#get32(S.breaks) !== 0;
  }

  /** What a slice leaves to do: breakpoints met on the way, and the instruction in the shadow of STI or MOV SS. */
  #settle(end: RunEnd): RunEnd {
    const met = this.#get32(S.breaks) !== 0;
    if (this.#restart || (met && (this.#get32(S.shadow) & SHADOW.debug) !== 0)) {
      this.#restart = false;
      return this.#debugStep();
    }
    if (met) return this.#trap(false, false) ? 'budget' : 'shutdown';
    return this.#pastShadow(end);
  }

  /** One instruction at a time, with #DB where RFLAGS.TF or a breakpoint asks for it. @spec SDM-3B §17.3.1 */
  #runStepped(budget: number): RunEnd {
    for (let left = budget; left > 0 && this.#debugs; left--) {
      const end = this.#debugStep();
      if (end !== 'budget') return end;
    }
    return this.halted ? 'halted' : 'budget';
  }

  #debugStep(): RunEnd {
    const { rip } = this.state;
    const flags = this.#get32(S.flags);
    const shadow = this.#get32(S.shadow);
    // Behind MOV SS neither breakpoints nor steps are reported. @spec SDM-3A §6.8.3
    if ((shadow & SHADOW.debug) === 0 && hitsInstructionBreakpoint(this.state, this.#linearOfRip())) {
      return this.#deliver(VECTOR.DB, -1) ? 'budget' : 'shutdown';
    }
    this.#set32(S.shadow, shadow & ~(SHADOW.interrupts | SHADOW.debug));
    this.#set32(S.flags, flags & ~FLAG.RF);
    const events = this.#events;
    this.#popsFlags = false;
    const end = this.step();
    if (end === 'shutdown') return end;
    if ((this.#get32(S.shadow) & SHADOW.debug) !== 0) return end;
    const midway = this.state.rip === rip && events === this.#events && this.#isRepeated();
    if (midway) this.#set32(S.flags, this.#get32(S.flags) | (flags & FLAG.RF));
    // What went to a handler has left TF behind; POPF and IRET, which may clear it, still trap.
    const stays = (this.#get32(S.flags) & FLAG.TF) !== 0 || this.#popsFlags;
    const steps = (flags & FLAG.TF) !== 0 && events === this.#events && stays;
    if (!this.#trap(steps, midway)) return 'shutdown';
    return this.halted ? 'halted' : 'budget';
  }

  /** #DB for what DR6 is told now, if anything. @returns false on a triple fault */
  #trap(steps: boolean, midway: boolean): boolean {
    return !takesTrap(this.state, steps) || deliverDebugTrap(this, midway);
  }

  /** Whether the instruction at RIP is repeated: then it has been left between two iterations. */
  #isRepeated(): boolean {
    this.#locate();
    const insn = this.#blocks.decodeAt(this, this.#mode);
    return insn !== undefined && insn.rep !== 0 && (insn.def.string === true || (insn.opcode & 0xfc) === 0x6c);
  }

  #linearOfRip(): bigint {
    const low = this.#linearRip();
    return (BigInt(this.#linearHigh >>> 0) << 32n) | BigInt(low >>> 0);
  }

  #deliver(vector: number, errorCode: number): boolean {
    this.#events++;
    return deliverException(this, vector, errorCode);
  }

  /** Makes run() return at the end of the current block. */
  requestExit(): void {
    const left = this.#get32(S.budget);
    if (left < 0) return;
    this.#withheld += left + 1;
    this.#set32(S.budget, -1);
  }

  /** Whether an external interrupt may be delivered now. */
  get interruptible(): boolean {
    return (this.#get32(S.flags) & FLAG.IF) !== 0 && (this.#get32(S.shadow) & SHADOW.interrupts) === 0;
  }

  /** Whether an NMI may be delivered now: not in the handler of one, nor behind MOV SS. @spec SDM-3A §6.7.1 */
  get takesNmi(): boolean {
    return (this.#get32(S.shadow) & (SHADOW.nmi | SHADOW.interrupts)) === 0;
  }

  /** Whether an external interrupt waits. */
  set attention(waits: boolean) {
    this.#set32(S.attention, waits ? 1 : 0);
  }

  /** RFLAGS.IF. */
  get interruptEnabled(): boolean {
    return (this.#get32(S.flags) & FLAG.IF) !== 0;
  }

  get halted(): boolean {
    return (this.#get32(S.shadow) & SHADOW.halted) !== 0;
  }

  /** Delivers an external interrupt. @returns false on a triple fault */
  interrupt(vector: number): boolean {
    this.state.set32(S.shadow, this.#get32(S.shadow) & ~SHADOW.halted);
    return deliverInterrupt(this, vector) && this.#trap(false, false);
  }

  #loop(): RunEnd {
    let record = this.#lookup();
    for (;;) {
      if (record === 0) return 'shutdown';
      const exit = this.#run(record);
      if (this.#failure !== undefined) throw this.#takeFailure();
      this.#lastExit = exit;
      this.#profile?.exit(EXIT_NAMES[exit] ?? '');
      switch (exit) {
        case EXIT.lookup:
          this.#fromLinearRip();
          if (this.#get32(S.budget) < 0) return this.#paused();
          record = this.#lookup();
          break;
        case EXIT.budget:
          this.#ripOfRecord();
          return this.#paused();
        case EXIT.hot:
          record = this.#get32(S.pc);
          this.jit?.hot(record);
          break;
        case EXIT.stale:
          this.#ripOfRecord();
          this.#set32(S.link, 0);
          this.#set32(S.budget, this.#get32(S.budget) - 1);
          record = this.#lookup();
          break;
        default:
          // A jump that hit the jump cache leaves its link slot behind; what follows is not its target.
          if (this.#pending?.moved !== true) this.#ripOfRecord();
          this.#set32(S.link, 0);
          // Costs something: a handler whose first instruction faults again would keep us here for ever.
          this.#set32(S.budget, this.#get32(S.budget) - 1);
          if (!this.#raisePending(exit)) return 'shutdown';
          if (this.#get32(S.budget) < 0 || this.#stepping) return this.#paused();
          record = this.#lookup();
      }
    }
  }

  /** The shadow of STI lasts for one instruction: gone, unless it is STI itself that ran last. */
  #paused(): RunEnd {
    this.#set32(S.link, 0);
    return this.halted ? 'halted' : 'budget';
  }

  #raisePending(exit: number): boolean {
    if (exit === EXIT.fault && this.mmu.takeRestart()) {
      this.#restart = true;
      this.requestExit();
      return true;
    }
    let error = this.#pending;
    this.#pending = undefined;
    if (exit === EXIT.raise) error = new GuestException(this.#get32(S.exitInfo), this.#get32(S.exitCode));
    else if (error === undefined) error = this.#accessFault();
    return this.#deliver(error.vector, error.errorCode);
  }

  /** The fault of a memory access; addresses relative to RSP or RBP that are not canonical raise #SS. @spec SDM-3A §6.15 "Interrupt 12" */
  #accessFault(): GuestException {
    const error = this.mmu.raise();
    if (error.vector !== VECTOR.GP) return error;
    this.#locate();
    const insn = this.#blocks.decodeAt(this, this.#mode);
    return insn !== undefined && this.#isStackAccess(insn) ? new GuestException(VECTOR.SS, error.errorCode) : error;
  }

  /** Operands relative to RSP or RBP whose address is not canonical raise #SS. */
  #asStackFault(error: GuestException, insn: Instruction): GuestException {
    if (error.moved || error.vector !== VECTOR.GP || error.errorCode !== 0 || insn.memory?.segment !== SEG.SS) return error;
    return isNonCanonical(this.address(insn)) ? new GuestException(VECTOR.SS, 0) : error;
  }

  #isStackAccess(insn: Instruction): boolean {
    if (insn.memory === undefined) return insn.def.stack === true;
    if (insn.memory.segment === SEG.SS) return true;
    return insn.def.stack === true && !isNonCanonical(this.address(insn));
  }

  // --- Profiling ----------------------------------------------------------------------------------------------------

  /** The slice that has just ended took this long. */
  profileSlice(milliseconds: number): void {
    const compiled = this.#lastExit === EXIT.budget && this.jit?.isCompiled(this.#get32(S.pc)) === true;
    this.#profile?.slice(this.state.rip, this.#get32(S.cpl) === 3, compiled, milliseconds);
  }

  /** What was counted, if this CPU is profiled. */
  profile(): ProfileReport | undefined {
    return this.#profile?.report(this.#i32.subarray(S.counters >> 2, (S.counters >> 2) + LEAVES.length));
  }

  // --- Snapshots ----------------------------------------------------------------------------------------------------

  /** Everything that a guest can tell, as plain data; between two calls of run(). What is translated is not part of it. */
  save(): CpuSnapshot {
    return { version: 1, state: new Uint8Array(this.state.bytes) };
  }

  /** Goes on from a saved state; guest memory may have changed as well. @throws {RangeError} of another version */
  restore({ version, state }: CpuSnapshot): void {
    if (version !== 1 || state.length !== this.state.bytes.length) {
      throw new RangeError(`Cannot restore a CPU: state has version ${version} and ${state.length} bytes`);
    }
    this.state.bytes.set(state);
    for (const place of [S.pc, S.link, S.budget]) this.#set32(place, 0);
    this.mmu.updateMode();
    this.mmu.flushAll();
    this.#restart = false;
    this.#blocks.forget();
    this.modeChanged();
  }

  // --- Finding code -------------------------------------------------------------------------------------------------

  /** The record for the current RIP; delivers what fetching it raises. 0 on a triple fault. */
  #lookup(): number {
    for (let tries = 0; tries < 8; tries++) {
      try {
        return this.#find();
      } catch (error) {
        if (!(error instanceof GuestException)) throw error;
        if (!this.#deliver(error.vector, error.errorCode)) return 0;
        if (this.#stepping) this.#set32(S.budget, -1);
      }
    }
    return 0;
  }

  #find(): number {
    // Taken before anything can fault: the handler of a fault must not be linked to the jump that met it.
    const link = this.#get32(S.link);
    const resets = this.#resets;
    this.#set32(S.link, 0);
    this.#locate();
    const low = this.#linearLow;
    const high = this.#linearHigh;
    this.#set32(S.page, low & -4096);
    this.#set32(S.page + 4, high);
    if (this.#stepping) return this.#blocks.single(this, this.#mode).record;
    const block = this.#blocks.find(this, this.#mode, this.#modeIndex);
    this.#jumps.insert(low, high, block);
    if (link !== 0 && block.linkable && resets === this.#resets) this.#view.setUint32(link, block.record, true);
    return block.record;
  }

  /** Makes this the CodePlace of RIP. @throws {GuestException} when it cannot be fetched */
  #locate(): void {
    this.#linearLow = this.#linearRip();
    const physical = this.mmu.translateFetch(this.#linearLow, this.#linearHigh);
    if (physical < 0) throw this.mmu.raise();
    this.physical = physical;
  }

  /** For compiled code that spans pages: a flush of one of them has to reach it. */
  readonly #translateCode = (low: number, high: number, user: boolean): number => {
    if (user !== (this.#get32(S.cpl) === 3)) return this.mmu.walker.walk(low, high, user ? ACCESS.fetch | ACCESS.user : ACCESS.fetch);
    this.#jumps.fetched(low, high);
    return this.mmu.translateFetch(low, high);
  };

  /** CodePlace: the page after the one at hand. */
  nextPage(): number {
    const next = ((this.#linearLow & -4096) + 4096) | 0;
    const physical = this.mmu.translateFetch(next, next === 0 && this.#mode.bits === 64 ? this.#linearHigh + 1 : this.#linearHigh);
    if (physical < 0) throw this.mmu.raise();
    return physical;
  }

  /** Low half of the linear address of RIP; the high half goes to #linearHigh. */
  #linearRip(): number {
    const low = this.#get32(S.rip);
    if (this.#mode.bits === 64) {
      this.#linearHigh = this.#get32(S.rip + 4);
      return low;
    }
    this.#linearHigh = 0;
    const offset = this.#mode.bits === 16 ? low & 0xffff : low;
    return (offset + this.#get32(S.segBase + SEG.CS * 8)) | 0;
  }

  /** Generated code leaves a linear address in S.rip. */
  #fromLinearRip(): void {
    if (this.#mode.bits === 64) return;
    const offset = (this.#get32(S.rip) - this.#get32(S.segBase + SEG.CS * 8)) | 0;
    this.#set32(S.rip, this.#mode.bits === 16 ? offset & 0xffff : offset);
    this.#set32(S.rip + 4, 0);
  }

  /** RIP := the instruction of the record at S.pc. */
  #ripOfRecord(): void {
    const offset = this.#view.getUint16(this.#get32(S.pc) + R.pageOffset, true);
    this.#set32(S.rip, this.#get32(S.page) + offset);
    this.#set32(S.rip + 4, this.#get32(S.page + 4));
    this.#fromLinearRip();
  }

  // --- Called by generated code ---------------------------------------------------------------------------------------

  #imports(memory: WebAssembly.Memory): Record<string, unknown> {
    return {
      memory,
      slowLoad: (bytes: number) => this.#guard(() => this.mmu.slowLoad(bytes)),
      slowStore: (bytes: number) => this.#guard(() => this.mmu.slowStore(bytes)),
      commitStore: (bytes: number) => this.#guard(() => this.#commitStore(bytes)),
      system: (record: number) => this.#guard(() => this.#system(record)),
      prepare: (record: number) => this.#guard(() => this.#prepare(record)),
      probeLoad: (bytes: number) => this.#guard(() => this.mmu.probeDirect(bytes, false)),
      probeStore: (bytes: number) => this.#guard(() => this.mmu.probeDirect(bytes, true)),
      helper: (id: number) => this.#guard(() => this.#helper(id)),
    };
  }

  #commitStore(bytes: number): number {
    this.mmu.commitStore(bytes);
    return 0;
  }

  #helper(id: number): number {
    runHelper(this, id);
    return 0;
  }

  /** Our own errors must not unwind through generated code: kept until run() has returned. */
  #guard(call: () => number): number {
    try {
      return call();
    } catch (error) {
      this.#failure ??= error;
      this.requestExit();
      return -1;
    }
  }

  #takeFailure(): unknown {
    const failure = this.#failure;
    this.#failure = undefined;
    return failure;
  }

  /** Executes an instruction in TypeScript. Returns 0 to go on, or an exit plus one. */
  #system(record: number): number {
    const insn = this.#translator.instructions.get(record)!;
    const next = this.#startOf(insn);
    const flags = this.#get32(S.flags);
    this.#profile?.instruction(insn.def.name);
    try {
      insn.def.system!(this, insn);
    } catch (error) {
      if (!(error instanceof GuestException)) throw error;
      this.#pending = this.#asStackFault(error, insn);
      return EXIT.fault + 1;
    }
    if ((this.#get32(S.flags) & ~flags & FLAG.IF) !== 0 && this.io.hasInterrupt()) this.requestExit();
    if (this.halted) this.requestExit();
    if (this.#stepping) this.#popsFlags = insn.def.system === popf || insn.def.system === iret;
    else if (this.#get32(S.breaks) !== 0) return this.#leave(record);
    if (insn.def.ends !== true && this.state.rip === next && !needsDebugStepping(this.state)) return 0;
    return this.#leave(record);
  }

  /** Generated code is left behind an instruction in TypeScript; with a breakpoint to report it ends the slice. */
  #leave(record: number): number {
    this.#set32(S.budget, this.#get32(S.budget) - this.#view.getUint8(record + R.count));
    if (this.#get32(S.breaks) !== 0) this.requestExit();
    this.#toLinearRip();
    this.#set32(S.link, 0);
    return EXIT.lookup + 1;
  }

  /** Sets RIP to the next instruction, as system functions expect it. */
  #startOf(insn: Instruction): bigint {
    this.#ripOfRecord();
    this.instructionRip = this.#mode.bits === 64 ? this.state.rip : BigInt(this.#linearRip() >>> 0);
    const next = this.state.rip + BigInt(insn.length);
    this.state.rip = this.#mode.bits === 64 ? next : next & (this.#mode.bits === 32 ? 0xffff_ffffn : 0xffffn);
    return this.state.rip;
  }

  #toLinearRip(): void {
    if (this.#mode.bits === 64) return;
    this.#set32(S.rip, this.#linearRip());
    this.#set32(S.rip + 4, 0);
  }

  /** Effective addresses that records cannot express go through S.ea. */
  #prepare(record: number): number {
    const insn = this.#translator.instructions.get(record)!;
    this.#startOf(insn);
    try {
      this.state.set64(S.ea, this.address(insn));
      return 0;
    } catch (error) {
      if (!(error instanceof GuestException)) throw error;
      this.#pending = error;
      return EXIT.fault + 1;
    }
  }

  // --- SystemCpu ----------------------------------------------------------------------------------------------------

  address(insn: Instruction): bigint {
    return linearAddressOf(this, insn);
  }

  read(linear: bigint, bytes: number): bigint {
    return this.#read(linear, bytes, this.mmu.privilege());
  }

  write(linear: bigint, bytes: number, value: bigint): void {
    this.#write(linear, bytes, value, this.mmu.privilege());
  }

  readSystem(linear: bigint, bytes: number): bigint {
    return this.#read(linear, bytes, ACCESS.implicit);
  }

  writeSystem(linear: bigint, bytes: number, value: bigint): void {
    this.#write(linear, bytes, value, ACCESS.implicit);
  }

  #read(linear: bigint, bytes: number, access: number): bigint {
    const [low, high] = halves(linear);
    return bytes === 8 ? this.mmu.read64(low, high, access) : BigInt(this.mmu.read(low, high, bytes as 1 | 2 | 4, access));
  }

  #write(linear: bigint, bytes: number, value: bigint, access: number): void {
    const [low, high] = halves(linear);
    if (bytes === 8) this.mmu.write64(low, high, access, BigInt.asUintN(64, value));
    else this.mmu.write(low, high, bytes as 1 | 2 | 4, access, Number(BigInt.asUintN(32, value)));
  }

  modeChanged(): void {
    this.mmu.selectView();
    if (!this.#stepping && needsDebugStepping(this.state)) this.requestExit();
    const index = modeIndexOf(this.state);
    if (index === this.#modeIndex) return;
    this.#modeIndex = index;
    this.#mode = codeMode(index);
    this.#jumps.clear(true);
  }

  #get32(offset: number): number {
    return this.#i32[offset >> 2]!;
  }

  #set32(offset: number, value: number): void {
    this.#i32[offset >> 2] = value;
  }
}

const EXIT_NAMES = Object.keys(EXIT);

function halves(value: bigint): [number, number] {
  return [Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n))];
}

let sharedTables: OpcodeTables | undefined;

function tables(): OpcodeTables {
  sharedTables ??= new OpcodeTables(DEFINITIONS);
  return sharedTables;
}

/** RAM starts here in the memory; for owners that load a kernel. */
export const RAM_OFFSET = ENGINE_BYTES;
