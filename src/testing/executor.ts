import { LAYOUT, MEMORY_BYTES } from './layout.ts';

/**
 * The user-visible state of one x86-64 processor plus the compared memory.
 *
 * Outside these fields a case assumes: 64-bit mode at CPL 3, CR0 = PE|MP|ET|NE|WP|AM|PG, CR4 with OSFXSR, OSXMMEXCPT,
 * OSXSAVE and FSGSBASE set, IOPL 0, flat segments, no debug registers, upper halves of YMM zero.
 */
export interface CpuState {
  /** RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 to R15: the order of the ModRM encoding. */
  readonly gpr: BigUint64Array;
  /** Before: `LAYOUT.instruction`. After: the next instruction, or the faulting one. */
  rip: bigint;
  /** RF (bit 16) is always 0 here; IF and bit 1 are always 1. */
  rflags: number;
  fsBase: bigint;
  gsBase: bigint;
  /** XMM0 to XMM15, 16 bytes each, little-endian. */
  readonly xmm: Uint8Array;
  mxcsr: number;
  fcw: number;
  fsw: number;
  /** Abridged tag word as in FXSAVE: bit i = physical register i is not empty. */
  ftw: number;
  /** ST(0) to ST(7), relative to TOP, 10 bytes each. MMX register i is the low half of ST((i - TOP) & 7). */
  readonly st: Uint8Array;
  /** The bytes of MEMORY_WINDOWS. */
  readonly memory: Uint8Array;
}

/** The exception that ended the instruction. */
export interface CpuFault {
  /** 0 #DE, 1 #DB, 3 #BP, 6 #UD, 12 #SS, 13 #GP, 14 #PF, 16 #MF, 17 #AC, 19 #XM. */
  readonly vector: number;
  /** As the processor pushes it; 0 for vectors without one. */
  readonly errorCode: number;
  /** CR2 for #PF, else 0. */
  readonly address: bigint;
}

/**
 * One instruction (1 to 15 bytes, placed at `LAYOUT.instruction`) and the state in which it starts. Only in the
 * family "sequence" the bytes hold several instructions.
 */
export interface CpuCase {
  readonly bytes: Uint8Array;
  readonly before: CpuState;
}

export interface CpuResult {
  readonly after: CpuState;
  readonly fault: CpuFault | undefined;
}

/** Anything that can run a case: silicon, the interpreter, a JIT. */
export interface CpuExecutor {
  readonly name: string;
  /**
   * Runs until RIP is outside `bytes`, or to the exception. So one instruction runs to its end, a REP string
   * instruction with all its iterations, and a sequence as a whole. Must not change `before`; the result must stay valid after further calls.
   */
  execute(before: CpuCase): CpuResult;
  /** Runs many cases at once where that is cheaper; results in the order of the cases. */
  executeAll?(cases: readonly CpuCase[]): CpuResult[];
}

/** A state with every register zero except RIP, RFLAGS (IF), MXCSR and FCW, which hold their reset-like values. */
export function emptyState(): CpuState {
  return {
    gpr: new BigUint64Array(16),
    rip: BigInt(LAYOUT.instruction),
    rflags: 0x202,
    fsBase: 0n,
    gsBase: 0n,
    xmm: new Uint8Array(256),
    mxcsr: 0x1f80,
    fcw: 0x37f,
    fsw: 0,
    ftw: 0,
    st: new Uint8Array(80),
    memory: new Uint8Array(MEMORY_BYTES),
  };
}

/** An independent copy. */
export function copyState(state: CpuState): CpuState {
  return {
    ...state,
    gpr: state.gpr.slice(),
    xmm: state.xmm.slice(),
    st: state.st.slice(),
    memory: state.memory.slice(),
  };
}
