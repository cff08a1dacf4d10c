import type { Clock } from '../../base/clock.ts';
import { type ApicBus, type ApicMessage, type ApicTarget, apicMessage, DELIVERY } from './apic-bus.ts';
import {
  APIC,
  APIC_VERSION,
  BASE_BSP,
  BASE_ENABLE,
  BASE_X2APIC,
  ESR_ILLEGAL_REGISTER,
  ESR_RECEIVE_ILLEGAL_VECTOR,
  ESR_SEND_ILLEGAL_VECTOR,
  LVT_COUNT,
  LVT_FIRST,
  LVT_MASKED,
  LVT_WRITABLE,
  SVR_ENABLE,
} from './lapic-registers.ts';
import { LapicTimer, type LapicTimerState, type TscSource } from './lapic-timer.ts';
import { VectorSet } from './vector-set.ts';

/** What a local APIC tells its CPU. All are called on the thread that runs the devices. */
export interface CpuSignals {
  /** An interrupt became deliverable that was not before: end the slice soon. */
  onInterrupt(): void;
  onNmi(): void;
  onInit(): void;
  /** Startup IPI: begin in real mode at vector * 4096. */
  onStartup(vector: number): void;
}

export interface LapicOptions {
  readonly id: number;
  readonly bus: ApicBus;
  readonly clock: Clock;
  readonly tsc: TscSource;
  /** The INTA cycle towards the 8259 pair; only the boot CPU has one wired to LINT0. */
  readonly acknowledgePic?: () => number;
}

export interface LapicState {
  readonly version: 1;
  readonly base: number;
  readonly tpr: number;
  readonly ldr: number;
  readonly dfr: number;
  readonly svr: number;
  readonly esr: number;
  readonly pendingErrors: number;
  readonly icr: readonly [low: number, high: number];
  readonly lvt: readonly number[];
  readonly irr: readonly number[];
  readonly isr: readonly number[];
  readonly tmr: readonly number[];
  readonly extIntLine: boolean;
  readonly extIntLatched: boolean;
  readonly timer: LapicTimerState;
}

const DEFAULT_BASE = 0xfee0_0000;
const SPURIOUS_RESET = 0xff;
const LINT0 = (APIC.LVT_LINT0 - LVT_FIRST) >> 4;
const LINT1 = (APIC.LVT_LINT1 - LVT_FIRST) >> 4;
const LVT_ERROR = (APIC.LVT_ERROR - LVT_FIRST) >> 4;

/**
 * One processor's local APIC. Registers are reached through `lapic-access.ts`, by page or by MSR.
 * Nothing here allocates per interrupt. @spec SDM-3A §11
 */
export class Lapic implements ApicTarget {
  readonly id: number;
  readonly timer: LapicTimer;
  signals: CpuSignals = { onInterrupt() {}, onNmi() {}, onInit() {}, onStartup() {} };
  /** IA32_APIC_BASE; below 2**46. */
  base: number;
  /** Whether `acknowledge` has something to give. */
  deliverable = false;

  readonly #bus: ApicBus;
  readonly #clock: Clock;
  readonly #acknowledgePic: (() => number) | undefined;
  readonly #message: ApicMessage = apicMessage();
  readonly #irr = new VectorSet();
  readonly #isr = new VectorSet();
  readonly #tmr = new VectorSet();
  readonly #lvt = new Uint32Array(LVT_COUNT);
  #tpr = 0;
  #ppr = 0;
  #ldr = 0;
  #dfr = 0xffff_ffff;
  #svr = SPURIOUS_RESET;
  #esr = 0;
  #pendingErrors = 0;
  #icrLow = 0;
  #icrHigh = 0;
  #extIntLine = false;
  #extIntLatched = false;

  constructor(options: LapicOptions) {
    this.id = options.id;
    this.#bus = options.bus;
    this.#clock = options.clock;
    this.#acknowledgePic = options.acknowledgePic;
    this.timer = new LapicTimer(() => options.clock.nowNs(), options.tsc);
    this.base = DEFAULT_BASE + BASE_ENABLE + (options.id === 0 ? BASE_BSP : 0);
    this.reset();
    // As firmware leaves it for the operating system: PIC through LINT0, NMI through LINT1.
    this.#lvt[LINT0] = DELIVERY.extInt << 8;
    this.#lvt[LINT1] = DELIVERY.nmi << 8;
    options.bus.lapics.push(this);
  }

  get x2apic(): boolean {
    return (this.base & BASE_X2APIC) !== 0;
  }

  get hardwareEnabled(): boolean {
    return (this.base & BASE_ENABLE) !== 0;
  }

  get softwareEnabled(): boolean {
    return (this.#svr & SVR_ENABLE) !== 0;
  }

  get processorPriority(): number {
    return this.#ppr;
  }

  /** CR8: the upper four bits of the task priority. */
  get cr8(): number {
    return this.#tpr >>> 4;
  }

  set cr8(value: number) {
    this.#tpr = (value & 0xf) << 4;
    this.#update();
  }

  hasInterrupt(): boolean {
    return this.deliverable;
  }

  /** Gives the vector to take and moves it into service. Only to be called while `deliverable`. */
  acknowledge(): number {
    if (this.#extIntPending()) {
      this.#extIntLatched = false;
      const vector = this.#acknowledgePic?.() ?? this.#svr & 0xff;
      this.#update();
      return vector;
    }
    const vector = this.#irr.highest();
    if (vector >> 4 <= this.#ppr >> 4) return this.#svr & 0xff;
    this.#irr.delete(vector);
    this.#isr.add(vector);
    this.#update();
    return vector;
  }

  /** Level of LINT0: the PIC's INT output. */
  setLint0(level: boolean): void {
    this.#extIntLine = level;
    this.#update();
  }

  /** State after INIT; id and base stay. */
  reset(): void {
    this.#irr.clear();
    this.#isr.clear();
    this.#tmr.clear();
    this.#lvt.fill(LVT_MASKED);
    this.#tpr = 0;
    this.#ldr = this.x2apic ? x2apicLogicalId(this.id) : 0;
    this.#dfr = 0xffff_ffff;
    this.#svr = SPURIOUS_RESET;
    this.#esr = 0;
    this.#pendingErrors = 0;
    this.#icrLow = 0;
    this.#icrHigh = 0;
    this.#extIntLatched = false;
    this.timer.reset();
    this.#update();
  }

  /** Whether a message is for this processor. @spec SDM-3A §11.6.2 */
  matches(message: ApicMessage): boolean {
    if (!this.hardwareEnabled) return false;
    const { destination, logical } = message;
    if (destination === (message.wide ? 0xffff_ffff : 0xff)) return true;
    if (!logical) return destination === this.id;
    if (this.x2apic) {
      return destination >>> 16 === this.#ldr >>> 16 && (destination & this.#ldr & 0xffff) !== 0;
    }
    const logicalId = this.#ldr >>> 24;
    if (this.#dfr >>> 28 === 0xf) return (logicalId & destination) !== 0;
    return logicalId >>> 4 === destination >>> 4 && (logicalId & destination & 0xf) !== 0;
  }

  /** Takes a message that matched. @returns false when it was refused */
  accept(message: ApicMessage): boolean {
    if (!this.hardwareEnabled) return false;
    switch (message.delivery) {
      case DELIVERY.fixed:
      case DELIVERY.lowest:
        return this.#request(message.vector, message.level);
      case DELIVERY.nmi:
        this.signals.onNmi();
        return true;
      case DELIVERY.init:
        this.reset();
        this.signals.onInit();
        return true;
      case DELIVERY.startup:
        this.signals.onStartup(message.vector);
        return true;
      case DELIVERY.extInt:
        this.#extIntLatched = true;
        this.#update();
        return true;
      default: // SMI: there is no system management mode here
        return true;
    }
  }

  /** Infinity when no interrupt can come of the timer. */
  nextDeadlineNs(): number {
    if (this.#lvt[0]! & LVT_MASKED) return Number.POSITIVE_INFINITY;
    return this.timer.nextDeadlineNs();
  }

  tick(nowNs: number): void {
    if (!this.timer.expire(nowNs)) return;
    const entry = this.#lvt[0]!;
    if (!(entry & LVT_MASKED)) this.#request(entry & 0xff, false);
  }

  /** A register by its offset in the page; unknown ones read 0 and count as an error. */
  readRegister(offset: number): number {
    if (offset >= APIC.ISR && offset < APIC.ESR) return this.#readSet(offset);
    if (offset >= LVT_FIRST && offset <= APIC.LVT_ERROR) return this.#lvt[(offset - LVT_FIRST) >> 4]!;
    switch (offset) {
      case APIC.ID:
        return this.x2apic ? this.id : (this.id << 24) >>> 0;
      case APIC.VERSION:
        return APIC_VERSION;
      case APIC.TPR:
        return this.#tpr;
      case APIC.PPR:
        return this.#ppr;
      case APIC.LDR:
        return this.#ldr;
      case APIC.DFR:
        return this.#dfr;
      case APIC.SVR:
        return this.#svr;
      case APIC.ESR:
        return this.#esr;
      case APIC.ICR_LOW:
        return this.#icrLow;
      case APIC.ICR_HIGH:
        return this.#icrHigh;
      case APIC.TIMER_INITIAL_COUNT:
        return this.timer.initialCount;
      case APIC.TIMER_CURRENT_COUNT:
        return this.timer.currentCount();
      case APIC.TIMER_DIVIDE:
        return this.timer.divideConfig;
      case APIC.EOI:
      case APIC.APR:
      case APIC.RRD:
        return 0;
      default:
        this.#error(ESR_ILLEGAL_REGISTER);
        return 0;
    }
  }

  /** @param value 32 bits, unsigned; writes to read-only registers do nothing */
  writeRegister(offset: number, value: number): void {
    if (offset >= LVT_FIRST && offset <= APIC.LVT_ERROR) {
      this.#writeLvt((offset - LVT_FIRST) >> 4, value);
      return;
    }
    switch (offset) {
      case APIC.TPR:
        this.#tpr = value & 0xff;
        this.#update();
        return;
      case APIC.EOI:
        this.#endOfInterrupt();
        return;
      case APIC.LDR:
        this.#ldr = (value & 0xff00_0000) >>> 0;
        return;
      case APIC.DFR:
        this.#dfr = (value | 0x0fff_ffff) >>> 0;
        return;
      case APIC.SVR:
        this.#svr = value & 0x3ff;
        if (!this.softwareEnabled) for (let i = 0; i < LVT_COUNT; i++) this.#lvt[i]! |= LVT_MASKED;
        this.#update();
        return;
      case APIC.ESR:
        this.#esr = this.#pendingErrors;
        this.#pendingErrors = 0;
        return;
      case APIC.ICR_HIGH:
        this.#icrHigh = (value & 0xff00_0000) >>> 0;
        return;
      case APIC.ICR_LOW:
        this.writeIcr(value, this.#icrHigh);
        return;
      case APIC.TIMER_INITIAL_COUNT:
        this.timer.setInitialCount(value);
        return;
      case APIC.TIMER_DIVIDE:
        this.timer.setDivideConfig(value);
        return;
      case APIC.ID:
      case APIC.VERSION:
      case APIC.APR:
      case APIC.PPR:
      case APIC.RRD:
      case APIC.TIMER_CURRENT_COUNT:
        return;
      default:
        this.#error(ESR_ILLEGAL_REGISTER);
    }
  }

  /** Sends an interprocessor interrupt. In x2APIC mode `high` is the whole destination. @spec SDM-3A §11.6.1 */
  writeIcr(low: number, high: number): void {
    this.#icrLow = (low & 0xc_cfff) >>> 0;
    this.#icrHigh = high;
    const message = this.#message;
    message.vector = low & 0xff;
    message.delivery = (low >>> 8) & 7;
    message.logical = (low & 0x800) !== 0;
    message.level = false;
    message.wide = this.x2apic;
    message.destination = this.x2apic ? high : high >>> 24;
    const levelDeassert = (low & 0x4000) === 0 && (low & 0x8000) !== 0;
    if (message.delivery === DELIVERY.init && levelDeassert) return; // resynchronises ids on old buses only
    if (message.delivery <= DELIVERY.lowest && message.vector < 16) {
      this.#error(ESR_SEND_ILLEGAL_VECTOR);
      return;
    }
    this.#send(message, (low >>> 18) & 3);
  }

  /** IA32_APIC_BASE, checked by the caller. Leaving x2APIC mode or disabling starts afresh. */
  setBase(value: number): void {
    const had = this.base;
    this.base = value;
    if ((had & BASE_ENABLE && !this.hardwareEnabled) || (had & BASE_X2APIC && !this.x2apic)) this.reset();
    if (this.x2apic) this.#ldr = x2apicLogicalId(this.id);
    this.#update();
  }

  save(): LapicState {
    return {
      version: 1,
      base: this.base,
      tpr: this.#tpr,
      ldr: this.#ldr,
      dfr: this.#dfr,
      svr: this.#svr,
      esr: this.#esr,
      pendingErrors: this.#pendingErrors,
      icr: [this.#icrLow, this.#icrHigh],
      lvt: [...this.#lvt],
      irr: [...this.#irr.words],
      isr: [...this.#isr.words],
      tmr: [...this.#tmr.words],
      extIntLine: this.#extIntLine,
      extIntLatched: this.#extIntLatched,
      timer: this.timer.save(),
    };
  }

  restore(state: LapicState): void {
    this.base = state.base;
    this.#tpr = state.tpr;
    this.#ldr = state.ldr;
    this.#dfr = state.dfr;
    this.#svr = state.svr;
    this.#esr = state.esr;
    this.#pendingErrors = state.pendingErrors;
    [this.#icrLow, this.#icrHigh] = state.icr;
    this.#lvt.set(state.lvt);
    this.#irr.words.set(state.irr);
    this.#isr.words.set(state.isr);
    this.#tmr.words.set(state.tmr);
    this.#extIntLine = state.extIntLine;
    this.#extIntLatched = state.extIntLatched;
    this.timer.restore(state.timer);
    this.#update();
  }

  #send(message: ApicMessage, shorthand: number): void {
    if (shorthand === 0) this.#bus.deliver(message);
    else if (shorthand === 1) this.accept(message);
    else this.#bus.broadcast(message, shorthand === 3 ? this : undefined);
  }

  #request(vector: number, level: boolean): boolean {
    if (!this.softwareEnabled) return false;
    if (vector < 16) {
      this.#error(ESR_RECEIVE_ILLEGAL_VECTOR);
      return false;
    }
    this.#irr.add(vector);
    if (level) this.#tmr.add(vector);
    else this.#tmr.delete(vector);
    this.#update();
    return true;
  }

  #endOfInterrupt(): void {
    const vector = this.#isr.highest();
    if (vector < 0) return;
    this.#isr.delete(vector);
    this.#update();
    if (this.#tmr.has(vector)) this.#bus.onLevelEoi(vector);
  }

  #writeLvt(index: number, value: number): void {
    if (index === 0) {
      this.tick(this.#clock.nowNs()); // what is due belongs to the old entry
      this.timer.setMode((value >>> 17) & 3);
    }
    const forced = this.softwareEnabled ? 0 : LVT_MASKED;
    this.#lvt[index] = (value & LVT_WRITABLE[index]!) | forced;
    this.#update();
  }

  #readSet(offset: number): number {
    const set = offset < APIC.TMR ? this.#isr : offset < APIC.IRR ? this.#tmr : this.#irr;
    return set.words[(offset >> 4) & 7]!;
  }

  #error(bit: number): void {
    const first = (this.#pendingErrors & bit) === 0;
    this.#pendingErrors |= bit;
    const entry = this.#lvt[LVT_ERROR]!;
    // Asked once per kind, and not for a vector that would be an error itself.
    if (first && !(entry & LVT_MASKED) && (entry & 0xff) >= 16) this.#request(entry & 0xff, false);
  }

  #extIntPending(): boolean {
    if (this.#extIntLatched) return true;
    if (!this.#extIntLine) return false;
    if (!this.hardwareEnabled) return true; // INTR goes straight to the processor
    return (this.#lvt[LINT0]! & (LVT_MASKED | 0x700)) === DELIVERY.extInt << 8;
  }

  #update(): void {
    const inService = this.#isr.highest();
    const serviceClass = inService < 0 ? 0 : inService & 0xf0;
    this.#ppr = (this.#tpr & 0xf0) >= serviceClass ? this.#tpr : serviceClass;
    const was = this.deliverable;
    this.deliverable = this.#irr.highest() >> 4 > this.#ppr >> 4 || this.#extIntPending();
    if (this.deliverable && !was) this.signals.onInterrupt();
  }
}

/** Cluster in the upper half, one bit of sixteen in the lower. @spec SDM-3A §11.12.10.2 */
function x2apicLogicalId(id: number): number {
  return ((id & ~0xf) << 12) + 2 ** (id & 0xf);
}
