import { ENGINE, GPR, S, SEG } from './layout.ts';

/**
 * TypeScript's view of one vCPU's state. 64-bit values are bigint here: this is for instructions and events that are
 * rare; the hot ones are WebAssembly over the same bytes.
 */
export class CpuState {
  readonly view: DataView;
  readonly bytes: Uint8Array;
  readonly base: number;
  /** The registers as arrays over the same bytes. */
  readonly u64: BigUint64Array;
  readonly i32: Int32Array;

  constructor(buffer: ArrayBufferLike, base: number = ENGINE.state) {
    this.base = base;
    this.view = new DataView(buffer as ArrayBuffer, base, S.end);
    this.bytes = new Uint8Array(buffer as ArrayBuffer, base, S.end);
    this.u64 = new BigUint64Array(buffer as ArrayBuffer, base, S.end / 8);
    this.i32 = new Int32Array(buffer as ArrayBuffer, base, S.end / 4);
  }

  get64(offset: number): bigint {
    return this.u64[offset >> 3]!;
  }

  /** Bits above 64 are dropped. */
  set64(offset: number, value: bigint): void {
    this.u64[offset >> 3] = value;
  }

  get32(offset: number): number {
    return this.i32[offset >> 2]!;
  }

  set32(offset: number, value: number): void {
    this.i32[offset >> 2] = value;
  }

  gpr(index: number): bigint {
    return this.u64[index]!;
  }

  setGpr(index: number, value: bigint): void {
    this.u64[index] = value;
  }

  get rip(): bigint {
    return this.u64[S.rip >> 3]!;
  }

  set rip(value: bigint) {
    this.u64[S.rip >> 3] = value;
  }

  get rsp(): bigint {
    return this.u64[GPR.RSP]!;
  }

  set rsp(value: bigint) {
    this.u64[GPR.RSP] = value;
  }

  get cpl(): number {
    return this.i32[S.cpl >> 2]!;
  }

  selector(seg: number): number {
    return this.i32[(S.seg + seg * 16) >> 2]! & 0xffff;
  }

  limit(seg: number): number {
    return this.i32[(S.seg + seg * 16 + 4) >> 2]! >>> 0;
  }

  attributes(seg: number): number {
    return this.i32[(S.seg + seg * 16 + 8) >> 2]!;
  }

  segBase(seg: number): bigint {
    return this.u64[segBaseOffset(seg) >> 3]!;
  }

  setSegment(seg: number, value: { selector: number; base: bigint; limit: number; attributes: number }): void {
    const at = (S.seg + seg * 16) >> 2;
    this.i32[at] = value.selector;
    this.i32[at + 1] = value.limit | 0;
    this.i32[at + 2] = value.attributes;
    this.u64[segBaseOffset(seg) >> 3] = value.base;
  }

  /** RFLAGS in architectural form. Runs on each PUSHF, system call and interrupt: 32-bit halves, no BigInt. */
  rflags(): number {
    const cvHigh = this.i32[(S.cv >> 2) + 1]!;
    const spLow = this.i32[S.sp >> 2]!;
    let flags = this.i32[S.flags >> 2]!;
    if (cvHigh < 0) flags |= FLAG.CF;
    if (evenParity(spLow & 0xff)) flags |= FLAG.PF;
    if ((this.i32[S.cv >> 2]! & 8) !== 0) flags |= FLAG.AF;
    if ((this.i32[S.zr >> 2]! | this.i32[(S.zr >> 2) + 1]!) === 0) flags |= FLAG.ZF;
    if (this.i32[(S.sp >> 2) + 1]! < 0) flags |= FLAG.SF;
    if ((cvHigh ^ (cvHigh << 1)) < 0) flags |= FLAG.OF;
    return flags;
  }

  /** Sets all of RFLAGS; the caller has decided which bits may change. */
  setRflags(flags: number): void {
    const cf = flags & FLAG.CF ? 1 : 0;
    const of = flags & FLAG.OF ? 1 : 0;
    this.i32[S.flags >> 2] = (flags & ~ARITHMETIC_FLAGS) | FLAG.fixed;
    this.i32[S.cv >> 2] = flags & FLAG.AF ? 8 : 0;
    this.i32[(S.cv >> 2) + 1] = (cf << 31) | ((cf ^ of) << 30);
    this.i32[S.zr >> 2] = flags & FLAG.ZF ? 0 : 1;
    this.i32[(S.zr >> 2) + 1] = 0;
    this.i32[S.sp >> 2] = flags & FLAG.PF ? 0 : 1;
    this.i32[(S.sp >> 2) + 1] = flags & FLAG.SF ? 0x8000_0000 : 0;
  }
}

/** RFLAGS bits. @spec SDM-1 §3.4.3 */
export const FLAG = {
  CF: 0x1,
  fixed: 0x2,
  PF: 0x4,
  AF: 0x10,
  ZF: 0x40,
  SF: 0x80,
  TF: 0x100,
  IF: 0x200,
  DF: 0x400,
  OF: 0x800,
  IOPL: 0x3000,
  NT: 0x4000,
  RF: 0x1_0000,
  VM: 0x2_0000,
  AC: 0x4_0000,
  VIF: 0x8_0000,
  VIP: 0x10_0000,
  ID: 0x20_0000,
} as const;
export const ARITHMETIC_FLAGS = 0x8d5;

function evenParity(byte: number): boolean {
  let x = byte ^ (byte >> 4);
  x ^= x >> 2;
  x ^= x >> 1;
  return (x & 1) === 0;
}

function segBaseOffset(seg: number): number {
  if (seg === SEG.LDTR) return S.ldtrBase;
  if (seg === SEG.TR) return S.trBase;
  return S.segBase + seg * 8;
}
