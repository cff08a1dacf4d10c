/**
 * Where everything of one vCPU lies in linear memory. The only place that knows these offsets.
 * The engine occupies the first ENGINE_BYTES of the shared memory; guest-physical address 0 follows.
 */

/** Offsets in bytes from the start of the CPU state. Slots are i64 unless noted. */
export const S = {
  gpr: 0x000, // 16 x i64: RAX RCX RDX RBX RSP RBP RSI RDI R8..R15
  rip: 0x080, // valid outside of run(); inside, the record pointer says where we are
  /** Arithmetic flags in lazy form: ZF = (zr == 0), SF = sign of sp, PF = parity of sp's low byte. */
  zr: 0x088,
  sp: 0x090,
  /** Carry vector: CF = bit 63, OF = bit 63 XOR bit 62, AF = bit 3; other bits are noise. */
  cv: 0x098,
  /** i32: RFLAGS without CF PF AF ZF SF OF; bit 1 always set. */
  flags: 0x0a0,
  /** Always zero: base or index of an operand that has none. */
  zero: 0x0a8,
  /** Effective address computed by a preceding record. */
  ea: 0x0b0,
  /** Linear address of the page the current records belong to. */
  page: 0x0b8,
  segBase: 0x0c0, // 6 x i64: ES CS SS DS FS GS
  pc: 0x0f0, // i32: record at which run() stopped
  budget: 0x0f4, // i32: instructions left before run() returns; taken per block
  tlb: 0x0f8, // i32: address of the TLB tables in use (read table; write table follows at TLB_WRITE)
  jumpCache: 0x0fc, // i32: address of the jump cache in use
  /** Slow-path mailbox between wasm and TypeScript. */
  slowVa: 0x100, // i64 linear address of an access that missed the TLB
  slowValue: 0x108, // i64 value of a slow store
  /** i64 instructions retired, in whole slices. */
  retired: 0x110,
  temp: 0x118, // 3 x i64 for use inside one instruction
  /** i32: address of the link slot that the next look-up fills, or 0. */
  link: 0x130,
  /** i32: detail of the last exit: exception vector; i32: its error code or -1. */
  exitInfo: 0x134,
  exitCode: 0x138,
  /** i32: not zero when an external interrupt waits for RFLAGS.IF: kept by the owner of the CPU. */
  attention: 0x13c,
  /** i32: not zero while user pages may be walked by generated code (walk-user.ts): 4-level paging with NX. */
  walkable: 0x140,
  /** i32: not zero when generated code has filled the user tables since the TLB was last flushed. */
  walked: 0x144,
  /** i64: bytes of RAM. */
  ramBytes: 0x148,
  /** i32: DR6.B0-B3 of data and I/O breakpoints that were met: a trap that is due after the instruction. */
  breaks: 0x150,
  /** i32 each: count changes of how supervisor and user code is mapped; compiled code that spans pages compares them. */
  codeEpoch: 0x1f0,
  xmm: 0x200, // 16 x 32 bytes, room for YMM
  st: 0x400, // 8 x 16 bytes, 80-bit values of the physical x87 registers R0..R7
  fcw: 0x480, // i32
  fsw: 0x484, // i32, TOP in bits 13:11
  ftw: 0x488, // i32: abridged, bit n = R(n) in use
  fop: 0x48c, // i32
  fip: 0x490, // i64
  fdp: 0x498, // i64
  mxcsr: 0x4a0, // i32
  xcr0: 0x4a8, // i64
  /** Segment registers in the order ES CS SS DS FS GS LDTR TR: selector, limit, attributes (as EntryState), each i32; 16 bytes apart. */
  seg: 0x500,
  ldtrBase: 0x580, // i64
  trBase: 0x588, // i64
  gdtBase: 0x590,
  gdtLimit: 0x598, // i32
  idtBase: 0x5a0,
  idtLimit: 0x5a8, // i32
  cr0: 0x5b0, // i64 each
  cr2: 0x5b8,
  cr3: 0x5c0,
  cr4: 0x5c8,
  cr8: 0x5d0,
  efer: 0x5d8,
  dr: 0x5e0, // 8 x i64
  cpl: 0x620, // i32
  /** i32: bit 0: interrupts blocked for one instruction (STI, MOV SS); bit 1: NMI blocked; bit 2: halted; bit 3: waiting for SIPI; bit 4: debug exceptions blocked for one instruction (MOV SS). */
  shadow: 0x624,
  /** i64 each; see MSR_SLOTS in msr.ts. */
  msr: 0x640, // up to 0x9ff
  scratch: 0xa00, // 128 bytes: accesses that cannot go straight to RAM are staged here
  /** Exact SSE floating point, see isa/sse-float-exact.ts: two operands and the result, 16 bytes each, */
  sseA: 0xa80,
  sseB: 0xa90,
  sseResult: 0xaa0,
  sseOperation: 0xab0, // i32: what to do
  sseImmediate: 0xab4, // i32
  sseFault: 0xab8, // i32: vector of the exception to raise, or 0
  vector: 0xac0, // 3 x 16 bytes: 128-bit operands of helpers; the first is also their result
  /** i32 each: how often control left compiled code, by cause; counted for profiles only (see interp/profile.ts). */
  counters: 0xb00,
  end: 0x1000,
} as const;

export const SEG = { ES: 0, CS: 1, SS: 2, DS: 3, FS: 4, GS: 5, LDTR: 6, TR: 7 } as const;
export const GPR = { RAX: 0, RCX: 1, RDX: 2, RBX: 3, RSP: 4, RBP: 5, RSI: 6, RDI: 7 } as const;

/** TLB: for each address-space view a read table and a write table, direct mapped. */
export const TLB_ENTRIES = 4096;
/** Bytes per entry: i64 tag (linear page address, or TLB_EMPTY), i32 addend (host offset minus low half of the linear page), i32 flags. */
export const TLB_ENTRY = 16;
export const TLB_TABLE = TLB_ENTRIES * TLB_ENTRY;
/** The write table follows the read table. */
export const TLB_WRITE = TLB_TABLE;
/** Views: supervisor, user, supervisor with EFLAGS.AC set while CR4.SMAP is on; and one that stays empty, so that each access takes the slow path. */
export const TLB_VIEW = { supervisor: 0, user: 1, supervisorAc: 2, strict: 3 } as const;
/** Views that are filled. */
export const TLB_VIEWS = 3;
/** A tag that no page address equals. */
export const TLB_EMPTY = 1n;

/** Jump cache: linear RIP -> record, direct mapped by a hash, one per privilege (supervisor, user). */
export const JUMP_ENTRIES = 32768;
/** The entry of a RIP is (low half * JUMP_HASH) >>> JUMP_SHIFT: call targets are aligned, so their low bits alone collide. */
export const JUMP_HASH = 0x9e37_79b1 | 0;
export const JUMP_SHIFT = 32 - 15;
/** Bytes per entry: i64 RIP (or JUMP_EMPTY), i32 record, i32 unused. */
export const JUMP_ENTRY = 16;
export const JUMP_TABLE = JUMP_ENTRIES * JUMP_ENTRY;
/** Never a RIP: not canonical. */
export const JUMP_EMPTY = 0x4000_0000_0000_0000n;

/** The layout of the engine's part of memory for one vCPU. */
export const ENGINE = {
  state: 0x0000,
  /** 16 bytes for each compiled function: the code epoch (i32) and the base page (i64, at 8) for which its pages were compared. */
  guards: 0x1000,
  tlb: 0x1_0000,
  jumpCache: 0x1_0000 + (TLB_VIEWS + 1) * 2 * TLB_TABLE,
  /** Templates of records, see interp/template-layout.ts. */
  templates: 0x19_0000,
  records: 0x20_0000,
  recordsEnd: 0x400_0000,
} as const;
/** Compiled functions that there can be. */
export const GUARDS_MAX = (ENGINE.tlb - 4096 - ENGINE.guards) >> 4;
/** Guest-physical address 0 is at this offset of the memory. */
export const ENGINE_BYTES = 0x400_0000;
