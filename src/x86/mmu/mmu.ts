import { ENGINE, ENGINE_BYTES, JUMP_TABLE, S, SEG, TLB_TABLE, TLB_VIEW } from '../state/layout.ts';
import type { CpuState } from '../state/state.ts';
import { FLAG } from '../state/state.ts';
import { CR0 } from '../system/control-bits.ts';
import { GuestException, VECTOR } from '../system/exception.ts';
import { ACCESS, SLOW_UPDATE } from './access.ts';
import { CodePages } from './code-pages.ts';
import { PageWalker } from './page-walk.ts';
import { Tlb } from './tlb.ts';
import { Watchpoints } from './watchpoints.ts';

/** Guest-physical addresses that are not RAM. */
export interface MmioBus {
  mmioRead(gpa: number, size: 1 | 2 | 4): number;
  mmioWrite(gpa: number, size: 1 | 2 | 4, value: number): void;
}

export interface MmuOptions {
  readonly buffer: ArrayBufferLike;
  readonly state: CpuState;
  /** RAM is [0, ramBytes) of guest-physical memory; everything above is MMIO. */
  readonly ramBytes: number;
  readonly mmio: MmioBus;
  /** Shared by the vCPUs of a machine. */
  readonly codePages?: CodePages;
  /** Host offset of guest-physical address 0. */
  readonly ramBase?: number;
}

/** What slow paths answer when generated code must leave the instruction; the reason is in the walker or in `restart`. */
const LEAVE = -1;
const CS_ATTRIBUTES = (S.seg + SEG.CS * 16 + 8) >> 2;
const ATTR_L = 0x2000;
/** Host offset that slow paths and TypeScript answer with when bytes do not lie in one RAM page. */
const NOT_PLAIN = -2;
/** More than one write entry may lead to a page. */
const MANY = -1;

/**
 * The memory management unit of one vCPU: translation, the TLB tables, and every access that generated code cannot do
 * itself. Addresses are 32-bit halves, physical addresses plain numbers; nothing is allocated per access.
 */
export class Mmu {
  readonly walker: PageWalker;
  readonly codePages: CodePages;
  readonly watch: Watchpoints;
  /**
   * Runs one instruction at a time: a data breakpoint that matches is only noted. Otherwise generated code leaves the
   * instruction, which the owner then runs that way.
   */
  stepping = false;
  /**
   * Translations of fetched code may have gone. `supervisor`: those of privileged code as well, not only of CPL 3.
   * A CR3 write calls it only when code was fetched through a translation that goes.
   */
  onFlush: (supervisor: boolean) => void = () => {};
  /** One linear page lost its translation. */
  onFlushPage: (low: number, high: number) => void = () => {};

  readonly #state: CpuState;
  readonly #i32: Int32Array;
  readonly #tlb: Tlb;
  readonly #mmio: MmioBus;
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  readonly #ramBase: number;
  readonly #ramBytes: number;
  readonly #engine: number;
  /** By page: 0 when no write table has it, the place of the only entry that may have it plus one, or MANY. */
  readonly #written: Int32Array;
  /** Privileged code was fetched through a translation that a CR3 write drops. */
  #fetchedNonGlobal = false;
  /** Code was fetched at CPL 3. Its pages count as not global. */
  #fetchedUser = false;
  /** A slow store in two steps: where its bytes go. */
  #storeFirst = 0;
  #storeSecond = 0;
  #storeSplit = 0;
  #restart = false;

  constructor(options: MmuOptions) {
    const { buffer, state, ramBytes, ramBase = ENGINE_BYTES } = options;
    this.#state = state;
    this.#i32 = state.i32;
    this.#mmio = options.mmio;
    this.#engine = state.base - ENGINE.state;
    this.#view = new DataView(buffer as ArrayBuffer);
    this.#bytes = new Uint8Array(buffer as ArrayBuffer);
    this.#ramBase = ramBase;
    this.#ramBytes = ramBytes;
    this.#tlb = new Tlb(buffer, this.#engine + ENGINE.tlb, state);
    state.set64(S.ramBytes, BigInt(ramBytes));
    this.#written = new Int32Array(Math.ceil(ramBytes / 4096));
    this.walker = new PageWalker({ buffer, base: ramBase, bytes: ramBytes }, state);
    this.codePages = options.codePages ?? new CodePages(ramBytes);
    this.watch = new Watchpoints(state);
    this.codePages.onProtect = (page) => this.#protect(page);
    this.updateMode();
  }

  // --- Mode and views ---

  /** Call after a change of CR0, CR4 or EFER; whoever changed them decides about flushing. */
  updateMode(): void {
    this.walker.updateMode();
    this.watch.update();
    this.#updateWalkable();
    this.selectView();
  }

  /** Call after a change of the debug registers. */
  updateBreakpoints(): void {
    this.watch.update();
    this.#updateWalkable();
    if (this.watch.active) this.#tlb.flushAll();
  }

  /** Generated code fills tables itself only where no page needs to be kept out. */
  #updateWalkable(): void {
    this.#i32[S.walkable >> 2] = this.walker.levels === 4 && this.walker.nxe && !this.watch.active ? 1 : 0;
  }

  /** Whether a data breakpoint made the last access leave its instruction. Asking forgets it. */
  takeRestart(): boolean {
    const restart = this.#restart;
    this.#restart = false;
    return restart;
  }

  /** Call after a change of CPL or EFLAGS.AC: points generated code at the tables of that privilege. */
  selectView(): void {
    const user = this.#i32[S.cpl >> 2] === 3;
    const ac = (this.#i32[S.flags >> 2]! & FLAG.AC) !== 0;
    const strict = user && ac && (this.#i32[S.cr0 >> 2]! & CR0.AM) !== 0;
    const view = strict ? TLB_VIEW.strict : user ? TLB_VIEW.user : ac && this.walker.smap ? TLB_VIEW.supervisorAc : TLB_VIEW.supervisor;
    this.#i32[S.tlb >> 2] = this.#engine + ENGINE.tlb + view * 2 * TLB_TABLE;
    this.#i32[S.jumpCache >> 2] = this.#engine + ENGINE.jumpCache + (user ? JUMP_TABLE : 0);
  }

  // --- Flushing ---

  flushAll(): void {
    this.#tlb.flushAll();
    this.#fetchedNonGlobal = false;
    this.#fetchedUser = false;
    this.onFlush(true);
  }

  /** A CR3 write. PCIDs are accepted but nothing is kept across. @spec SDM-3A §4.10.4.1 */
  flushNonGlobal(): void {
    this.#tlb.flushNonGlobal();
    if (this.#fetchedNonGlobal || this.#fetchedUser) this.onFlush(this.#fetchedNonGlobal);
    this.#fetchedNonGlobal = false;
    this.#fetchedUser = false;
  }

  invlpg(low: number, high: number): void {
    this.#tlb.flushPage(low, high);
    this.onFlushPage(low, high);
  }

  // --- Translation ---

  /** Physical address, or -1 with the fault recorded. Fills no TLB. @param access bits of ACCESS */
  walk(low: number, high: number, access: number): number {
    return this.walker.walk(low, high, access);
  }

  /** Physical address of an instruction byte at the current privilege, or -1 with the fault recorded. */
  translateFetch(low: number, high: number): number {
    const user = this.#i32[S.cpl >> 2] === 3;
    const physical = this.walker.walk(low, high, user ? ACCESS.fetch | ACCESS.user : ACCESS.fetch);
    if (user) this.#fetchedUser = true;
    else if (physical >= 0 && !this.walker.leafGlobal) this.#fetchedNonGlobal = true;
    return physical;
  }

  /** The recorded fault as an exception; #PF puts its address into CR2. */
  raise(): GuestException {
    const { faultVector, faultCode, faultLow, faultHigh } = this.walker;
    if (faultVector === VECTOR.PF) {
      this.#i32[S.cr2 >> 2] = faultLow;
      this.#i32[(S.cr2 >> 2) + 1] = faultHigh;
    }
    return new GuestException(faultVector, faultCode);
  }

  /** Whether a physical range is RAM. */
  isRam(physical: number, length: number): boolean {
    return physical >= 0 && physical + length <= this.#ramBytes;
  }

  // --- Slow path of generated code ---

  /**
   * A load of `bytes` at S.slowVa missed the TLB.
   * @returns host offset to load from, or -1 with the fault recorded
   */
  slowLoad(bytes: number): number {
    const low = this.#i32[S.slowVa >> 2]!;
    const high = this.#i32[(S.slowVa >> 2) + 1]!;
    const access = this.#privilege();
    const first = this.#translate(low, high, access);
    if (first < 0) return -1;
    const split = 4096 - (low & 0xfff);
    const second = bytes <= split ? 0 : this.#translateNext(low, high, access);
    if (second < 0 || (this.#isStrict && this.#misaligned(low, bytes))) return LEAVE;
    if (this.watch.active && this.#breaks(low, high, bytes, false)) return LEAVE;
    if (bytes <= split) {
      if (this.isRam(first, bytes)) return this.#ramBase + first;
      this.#readPhysical(first, this.#scratch, bytes);
      return this.#scratch;
    }
    this.#readPhysical(first, this.#scratch, split);
    this.#readPhysical(second, this.#scratch + split, bytes - split);
    return this.#scratch;
  }

  /**
   * A store at S.slowVa missed the TLB. All checks are done here; when the answer is the scratch area, `commitStore` must
   * follow; the current bytes are in it, those of devices only when they were asked for.
   * @param size bytes, plus SLOW_UPDATE for instructions that read them first
   * @returns host offset to store to, or -1 with the fault recorded
   */
  slowStore(size: number): number {
    const bytes = size & ~SLOW_UPDATE;
    const update = size !== bytes;
    const low = this.#i32[S.slowVa >> 2]!;
    const high = this.#i32[(S.slowVa >> 2) + 1]!;
    const access = this.#privilege() | ACCESS.write;
    const first = this.#translate(low, high, access);
    if (first < 0) return -1;
    const split = 4096 - (low & 0xfff);
    const second = bytes <= split ? 0 : this.#translateNext(low, high, access);
    if (second < 0 || (this.#isStrict && this.#misaligned(low, bytes))) return LEAVE;
    if (this.watch.active && this.#breaks(low, high, bytes, true)) return LEAVE;
    this.#storeFirst = first;
    this.#storeSplit = split;
    if (bytes <= split) {
      const ram = this.isRam(first, bytes);
      if (ram && !this.codePages.touches(first, bytes)) return this.#ramBase + first;
      if (ram || update) this.#readPhysical(first, this.#scratch, bytes);
      return this.#scratch;
    }
    this.#storeSecond = second;
    if (update || this.isRam(first, split)) this.#readPhysical(first, this.#scratch, split);
    if (update || this.isRam(second, bytes - split)) this.#readPhysical(second, this.#scratch + split, bytes - split);
    return this.#scratch;
  }

  /**
   * The slow path of compiled code: only plain RAM inside one page, without code when `write` is set.
   * @returns host offset, or -1: the interpreter has to do the instruction; nothing has happened
   */
  probeDirect(bytes: number, write: boolean): number {
    const low = this.#i32[S.slowVa >> 2]!;
    if ((low & 0xfff) + bytes > 4096 || this.#isStrict) return -1;
    // What compiled code has checked once it may use for the accesses beside it.
    if (this.watch.active && this.watch.watchesPage(low, this.#i32[(S.slowVa >> 2) + 1]!)) return -1;
    const access = write ? this.#privilege() | ACCESS.write : this.#privilege();
    const physical = this.#translate(low, this.#i32[(S.slowVa >> 2) + 1]!, access);
    if (!this.isRam(physical, bytes) || (write && this.codePages.touches(physical, bytes))) return -1;
    return this.#ramBase + physical;
  }

  /** Second half of a slow store: the scratch bytes go where they belong. Cannot fault. */
  commitStore(bytes: number): void {
    const split = Math.min(bytes, this.#storeSplit);
    this.#writePhysical(this.#storeFirst, this.#scratch, split);
    if (bytes > split) this.#writePhysical(this.#storeSecond, this.#scratch + split, bytes - split);
  }

  // --- Access from TypeScript. @throws {GuestException} ---
  // `access` is privilege() or ACCESS.implicit, with ACCESS.stack where it applies; the write bit is added here.

  read(low: number, high: number, bytes: 1 | 2 | 4, access: number): number {
    const at = this.#plain(low, high, bytes, access);
    const host = at === NOT_PLAIN ? this.#gather(low, high, bytes, access) : at;
    if (this.#isStrict) this.#checkAlignment(low, bytes, access);
    if (bytes === 4) return this.#view.getUint32(host, true);
    return bytes === 2 ? this.#view.getUint16(host, true) : this.#bytes[host]!;
  }

  read64(low: number, high: number, access: number): bigint {
    const at = this.#plain(low, high, 8, access);
    const host = at === NOT_PLAIN ? this.#gather(low, high, 8, access) : at;
    if (this.#isStrict) this.#checkAlignment(low, 8, access);
    return this.#view.getBigUint64(host, true);
  }

  write(low: number, high: number, bytes: 1 | 2 | 4, access: number, value: number): void {
    const at = this.#plain(low, high, bytes, access | ACCESS.write);
    const host = at === NOT_PLAIN ? this.#prepare(low, high, bytes, access) : at;
    if (this.#isStrict) this.#checkAlignment(low, bytes, access);
    if (bytes === 4) this.#view.setInt32(host, value, true);
    else if (bytes === 2) this.#view.setInt16(host, value, true);
    else this.#bytes[host] = value;
    if (at === NOT_PLAIN) this.commitStore(bytes);
  }

  write64(low: number, high: number, access: number, value: bigint): void {
    const at = this.#plain(low, high, 8, access | ACCESS.write);
    const host = at === NOT_PLAIN ? this.#prepare(low, high, 8, access) : at;
    if (this.#isStrict) this.#checkAlignment(low, 8, access);
    this.#view.setBigUint64(host, value, true);
    if (at === NOT_PLAIN) this.commitStore(8);
  }

  /** 64 bits as two halves. */
  writePair(low: number, high: number, access: number, valueLow: number, valueHigh: number): void {
    const at = this.#plain(low, high, 8, access | ACCESS.write);
    const host = at === NOT_PLAIN ? this.#prepare(low, high, 8, access) : at;
    if (this.#isStrict) this.#checkAlignment(low, 8, access);
    this.#view.setInt32(host, valueLow, true);
    this.#view.setInt32(host + 4, valueHigh, true);
    if (at === NOT_PLAIN) this.commitStore(8);
  }

  /** #AC where alignment is checked, for structures that are accessed as bytes. */
  requireAligned(low: number, alignment: number): void {
    if (this.#isStrict && this.#misaligned(low, alignment)) throw this.raise();
  }

  /** Copies bytes out of guest memory. Not for ranges whose first page is written before the second is checked. */
  readBytes(low: number, high: number, access: number, into: Uint8Array): void {
    let at = low;
    let upper = high;
    for (let done = 0; done < into.length; ) {
      const piece = Math.min(into.length - done, 4096 - (at & 0xfff));
      const host = this.#plain(at, upper, piece, access);
      if (host !== NOT_PLAIN) into.set(this.#bytes.subarray(host, host + piece), done);
      else for (let i = 0; i < piece; i++) into[done + i] = this.read((at + i) | 0, upper, 1, access);
      done += piece;
      at = (at + piece) | 0;
      if (at === 0) upper = this.#highBehind(upper, access);
    }
  }

  /** Copies bytes into guest memory; probe first when nothing may be written in case of a fault. */
  writeBytes(low: number, high: number, access: number, from: Uint8Array): void {
    let at = low;
    let upper = high;
    for (let done = 0; done < from.length; ) {
      const piece = Math.min(from.length - done, 4096 - (at & 0xfff));
      const host = this.#plain(at, upper, piece, access | ACCESS.write);
      if (host !== NOT_PLAIN) this.#bytes.set(from.subarray(done, done + piece), host);
      else for (let i = 0; i < piece; i++) this.write((at + i) | 0, upper, 1, access, from[done + i]!);
      done += piece;
      at = (at + piece) | 0;
      if (at === 0) upper = this.#highBehind(upper, access);
    }
  }

  /** Checks that a range may be accessed. Used before an instruction changes anything. */
  probe(low: number, high: number, bytes: number, access: number): void {
    if (this.#translate(low, high, access) < 0) throw this.raise();
    if ((low & 0xfff) + bytes > 4096 && this.#translateNext(low, high, access) < 0) throw this.raise();
  }

  /** ACCESS.user at CPL 3, else nothing. */
  privilege(): number {
    return this.#privilege();
  }

  // --- Physical memory, for tables that the CPU itself keeps (kvmclock) ---

  /** Writes RAM; addresses outside it are ignored. */
  writePhysical32(physical: number, value: number): void {
    if (!this.isRam(physical, 4)) return;
    this.#view.setInt32(this.#ramBase + physical, value, true);
    this.codePages.wrote(physical, 4);
  }

  readPhysical32(physical: number): number {
    return this.isRam(physical, 4) ? this.#view.getUint32(this.#ramBase + physical, true) : 0xffff_ffff;
  }

  // --- Internals ---

  #privilege(): number {
    return this.#i32[S.cpl >> 2] === 3 ? ACCESS.user : 0;
  }

  get #scratch(): number {
    return this.#state.base + S.scratch;
  }

  /** Walks, and fills the tables when the page is RAM. */
  #translate(low: number, high: number, access: number): number {
    const physical = this.walker.walk(low, high, access);
    if (physical >= 0 && physical < this.#ramBytes) this.#fill(low, high, physical, access);
    return physical;
  }

  /** The page after the one that holds an address; 32-bit linear addresses wrap. */
  #translateNext(low: number, high: number, access: number): number {
    const next = ((low & -4096) + 4096) | 0;
    return this.#translate(next, next === 0 ? this.#highBehind(high, access) : high, access);
  }

  /** The upper half of the addresses behind a boundary of 4 GiB. Those of programs wrap there outside of 64-bit mode. */
  #highBehind(high: number, access: number): number {
    if (this.walker.levels !== 4) return 0;
    const wide = (access & ACCESS.implicit) !== 0 || (this.#i32[CS_ATTRIBUTES]! & ATTR_L) !== 0;
    return wide ? (high + 1) | 0 : 0;
  }

  #fill(low: number, high: number, physical: number, access: number): void {
    if (this.watch.active && this.watch.watchesPage(low, high)) return;
    const { leafGlobal, leafSize, leafDirty, leafWritable } = this.walker;
    const view = this.#viewOf(access);
    const page = physical - (physical % 4096);
    const hostPage = this.#ramBase + page;
    // The last page of RAM may be partial only by mistake of the owner; RAM is a multiple of 4 KiB.
    this.#tlb.fill(view, 0, low, high, hostPage, leafGlobal);
    if (leafSize !== 0) this.#tlb.noteLarge(leafSize, low, high);
    if (!leafDirty || !leafWritable || this.codePages.hasCode(page)) return;
    const at = this.#tlb.fill(view, 1, low, high, hostPage, leafGlobal) + 1;
    const known = this.#written[page / 4096]!;
    if (known === at || at === 0) return;
    const other = known === MANY || (known !== 0 && this.#tlb.maps(known - 1, hostPage));
    this.#written[page / 4096] = other ? MANY : at;
  }

  /** Generated code changes views too: S.tlb says which is in use. */
  #viewOf(access: number): number {
    return (access & ACCESS.implicit) !== 0 ? TLB_VIEW.supervisor : (this.#i32[S.tlb >> 2]! - this.#engine - ENGINE.tlb) / (2 * TLB_TABLE);
  }

  #protect(page: number): void {
    const known = this.#written[page / 4096]!;
    this.#written[page / 4096] = 0;
    if (known === MANY) this.#tlb.dropWrites(this.#ramBase + page);
    else if (known !== 0 && this.#tlb.maps(known - 1, this.#ramBase + page)) this.#tlb.dropAt(known - 1);
  }

  /** Each access is checked for its alignment: CR0.AM and EFLAGS.AC are set at CPL 3. */
  get #isStrict(): boolean {
    return this.#i32[S.tlb >> 2] === this.#engine + ENGINE.tlb + TLB_VIEW.strict * 2 * TLB_TABLE;
  }

  /** #AC, recorded; page faults come first. @spec SDM-3A §6.15 "Interrupt 17" */
  #misaligned(low: number, bytes: number): boolean {
    if ((low & (bytes - 1)) === 0) return false;
    this.walker.faultVector = VECTOR.AC;
    this.walker.faultCode = 0;
    return true;
  }

  /** The same for an access in TypeScript. */
  #checkAlignment(low: number, bytes: number, access: number): void {
    if ((access & (ACCESS.user | ACCESS.implicit)) === ACCESS.user && this.#misaligned(low, bytes)) throw this.raise();
  }

  /** An access of generated code that faults no more: whether it has to leave the instruction for a data breakpoint. */
  #breaks(low: number, high: number, bytes: number, write: boolean): boolean {
    if (this.stepping) this.watch.note(low, high, bytes, write);
    else this.#restart = this.watch.match(low, high, bytes, write) !== 0;
    return this.#restart;
  }

  /** Host offset of bytes in one page of RAM that may be accessed in place; NOT_PLAIN otherwise. */
  #plain(low: number, high: number, bytes: number, access: number): number {
    if ((low & 0xfff) + bytes > 4096) return NOT_PLAIN;
    const write = access & ACCESS.write ? 1 : 0;
    const view = this.#viewOf(access);
    const hit = this.#tlb.lookup(view, write, low, high);
    if (hit >= 0) return hit;
    const physical = this.#translate(low, high, access);
    if (physical < 0) throw this.raise();
    if (!this.isRam(physical, bytes)) return NOT_PLAIN;
    if (write === 1 && this.codePages.touches(physical, bytes)) return NOT_PLAIN;
    if (this.watch.active) this.watch.note(low, high, bytes, write === 1);
    return this.#ramBase + physical;
  }

  /** Bytes across pages or from MMIO, into the scratch area. */
  #gather(low: number, high: number, bytes: number, access: number): number {
    const first = this.#translate(low, high, access);
    if (first < 0) throw this.raise();
    const split = Math.min(bytes, 4096 - (low & 0xfff));
    const second = bytes > split ? this.#translateNext(low, high, access) : 0;
    if (second < 0) throw this.raise();
    if (this.watch.active) this.watch.note(low, high, bytes, false);
    this.#readPhysical(first, this.#scratch, split);
    if (bytes > split) this.#readPhysical(second, this.#scratch + split, bytes - split);
    return this.#scratch;
  }

  /** First half of a store across pages, to MMIO or to code. */
  #prepare(low: number, high: number, bytes: number, access: number): number {
    const first = this.#translate(low, high, access | ACCESS.write);
    if (first < 0) throw this.raise();
    const split = 4096 - (low & 0xfff);
    const second = bytes > split ? this.#translateNext(low, high, access | ACCESS.write) : 0;
    if (second < 0) throw this.raise();
    if (this.watch.active) this.watch.note(low, high, bytes, true);
    this.#storeFirst = first;
    this.#storeSecond = second;
    this.#storeSplit = split;
    return this.#scratch;
  }

  #readPhysical(physical: number, host: number, bytes: number): void {
    if (this.isRam(physical, bytes)) {
      const from = this.#ramBase + physical;
      for (let i = 0; i < bytes; i++) this.#bytes[host + i] = this.#bytes[from + i]!;
      return;
    }
    for (let i = 0; i < bytes; ) {
      const size = unit(bytes - i);
      const value = this.#mmio.mmioRead(physical + i, size);
      if (size === 4) this.#view.setInt32(host + i, value, true);
      else if (size === 2) this.#view.setInt16(host + i, value, true);
      else this.#bytes[host + i] = value;
      i += size;
    }
  }

  #writePhysical(physical: number, host: number, bytes: number): void {
    if (this.isRam(physical, bytes)) {
      const to = this.#ramBase + physical;
      for (let i = 0; i < bytes; i++) this.#bytes[to + i] = this.#bytes[host + i]!;
      this.codePages.wrote(physical, bytes);
      return;
    }
    for (let i = 0; i < bytes; ) {
      const size = unit(bytes - i);
      let value = this.#bytes[host + i]!;
      if (size === 4) value = this.#view.getUint32(host + i, true);
      else if (size === 2) value = this.#view.getUint16(host + i, true);
      this.#mmio.mmioWrite(physical + i, size, value);
      i += size;
    }
  }
}

/** The largest MMIO access that fits what is left. */
function unit(left: number): 1 | 2 | 4 {
  return left >= 4 ? 4 : left >= 2 ? 2 : 1;
}
