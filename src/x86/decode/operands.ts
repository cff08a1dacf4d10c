/**
 * Operand codes of the definitions, as in SDM-2D appendix A.2: a letter for where the operand is and a letter for its size.
 *
 * where: E register or memory of ModRM.rm; R register of ModRM.rm; M memory; G register of ModRM.reg; B register of VEX.vvvv;
 *        Z register in the opcode; I immediate; J branch displacement; O memory at an immediate offset; S segment register of
 *        ModRM.reg; V XMM of ModRM.reg; W XMM or memory of ModRM.rm; U XMM of ModRM.rm; P MMX of ModRM.reg; Q MMX or memory
 *        of ModRM.rm; N MMX of ModRM.rm. A leading s sign-extends an immediate byte to the operand size.
 * size:  b 8, w 16, d 32, q 64, x 128, v operand size, y 32 or 64, z 16 or 32 (immediates; sign-extended when the operand size is 64), c 64 or 128 (CMPXCHG8B, 16B).
 * Fixed: AL CL rAX (operand size) DX 1. Ap is a far pointer. M alone is an address without access.
 */
export interface OperandSpec {
  readonly where: 'E' | 'R' | 'M' | 'G' | 'B' | 'Z' | 'I' | 'J' | 'O' | 'S' | 'V' | 'W' | 'U' | 'P' | 'Q' | 'N' | 'fixed' | 'A';
  readonly size: 'b' | 'w' | 'd' | 'q' | 'x' | 'v' | 'y' | 'z' | 'p' | 'c' | '';
  readonly signed: boolean;
  /** For fixed operands: GPR index, or -1 for the constant 1. */
  readonly fixed: number;
}

const CACHE = new Map<string, OperandSpec>();

export function operandSpec(code: string): OperandSpec {
  const cached = CACHE.get(code);
  if (cached !== undefined) return cached;
  const spec = parse(code);
  CACHE.set(code, spec);
  return spec;
}

const FIXED: Record<string, { fixed: number; size: OperandSpec['size'] }> = {
  AL: { fixed: 0, size: 'b' },
  CL: { fixed: 1, size: 'b' },
  rAX: { fixed: 0, size: 'v' },
  DX: { fixed: 2, size: 'w' },
  '1': { fixed: -1, size: 'b' },
};

function parse(code: string): OperandSpec {
  const fixed = FIXED[code];
  if (fixed !== undefined) return { where: 'fixed', signed: false, ...fixed };
  const signed = code.startsWith('s');
  const body = signed ? code.slice(1) : code;
  return { where: body[0] as OperandSpec['where'], size: (body[1] ?? '') as OperandSpec['size'], signed, fixed: -1 };
}

/** Width in bits of an operand for an operand size. */
export function operandBits(spec: OperandSpec, operandSize: number): number {
  switch (spec.size) {
    case 'b':
      return 8;
    case 'w':
      return 16;
    case 'd':
      return 32;
    case 'q':
      return 64;
    case 'x':
      return 128;
    case 'y':
      return operandSize === 64 ? 64 : 32;
    case 'c':
      return operandSize === 64 ? 128 : 64;
    case 'v':
      return operandSize;
    case 'z':
      return operandSize;
    default:
      return operandSize;
  }
}

/** Bytes an immediate, displacement or offset of this kind takes in the instruction. */
export function immediateBytes(spec: OperandSpec, operandSize: number, addressSize: number, mode64: boolean): number {
  if (spec.where === 'O') return addressSize / 8;
  if (spec.where === 'A') return operandSize === 16 ? 2 : 4; // the selector follows
  if (spec.where === 'J') return spec.size === 'b' ? 1 : mode64 || operandSize !== 16 ? 4 : 2;
  if (spec.where !== 'I') return 0;
  switch (spec.size) {
    case 'b':
      return 1;
    case 'w':
      return 2;
    case 'v':
      return operandSize / 8;
    default:
      return operandSize === 16 ? 2 : 4;
  }
}
