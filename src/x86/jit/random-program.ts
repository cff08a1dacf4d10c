import { Decoder } from '../decode/decode.ts';
import { OpcodeTables } from '../decode/tables.ts';
import { codeMode } from '../interp/mode.ts';
import { DEFINITIONS } from '../isa/index.ts';
import type { Random } from '../../testing/random.ts';
import { DATA_BYTES, PLACE } from './lockstep-machine.ts';

/** Instructions that change privilege or interrupts, or wait; and those that only the interpreter has would end every region. */
const LEFT_OUT = new Set(['POPF', 'STI', 'CLI', 'SWAPGS', 'SYSCALL', 'SYSRET', 'LEAVE']);
const PREFIXES = [[], [], [], [0x66], [0xf2], [0xf3], [0xf0], [0x64], [0x65], [0x67]] as const;

const decoder = new Decoder(new OpcodeTables(DEFINITIONS));
const mode = codeMode(2);

/** Bytes of one random instruction that is no branch and is compiled. */
function instruction(random: Random): Uint8Array {
  for (;;) {
    const bytes = [...random.pick(PREFIXES), ...(random.oneIn(2) ? [0x40 | random.below(16)] : [])];
    if (random.oneIn(2)) bytes.push(0x0f);
    if (bytes[bytes.length - 1] === 0x0f && random.oneIn(4)) bytes.push(random.oneIn(2) ? 0x38 : 0x3a);
    bytes.push(...random.bytes(10));
    const insn = decoder.decode(Uint8Array.from(bytes), mode);
    if (insn === undefined || insn.def.semantics === undefined || insn.def.ends === true || LEFT_OUT.has(insn.def.name)) continue;
    if (insn.memory !== undefined && insn.memory.base < 0 && !random.oneIn(20)) continue; // absolute: nearly always a fault
    if (insn.def.string === true && !random.oneIn(8)) continue;
    return Uint8Array.from(bytes.slice(0, insn.length));
  }
}

/** Blocks of random instructions with random branches among them, and instructions that change the code. */
export function randomProgram(random: Random): Uint8Array {
  const blocks = 2 + random.below(8);
  const bytes: number[] = random.oneIn(3) ? new Array<number>(4096 - 80).fill(0x90) : []; // some cross a page
  if (bytes.length > 0) bytes.splice(0, 5, 0xe9, ...int32(bytes.length - 5));
  const starts: number[] = [];
  const fixups: { at: number; to: number }[] = [];
  for (let i = 0; i < blocks; i++) {
    starts.push(bytes.length);
    for (let n = random.below(8); n > 0; n--) bytes.push(...instruction(random));
    if (random.oneIn(12)) bytes.push(0x88, (random.below(4) << 3) | 5, ...int32(-random.below(40))); // mov [rip - x], r8
    if (random.oneIn(3))
      bytes.push(
        ...random.pick([
          [0xff, 0xc1],
          [0x83, 0xe9, 1],
          [0x39, 0xc8],
          [0x85, 0xc0],
          [0x48, 0x39, 0xd1],
        ]),
      );
    const kind = random.below(10);
    if (kind < 7) bytes.push(0x0f, 0x80 | random.below(16));
    else if (kind === 7) bytes.push(0xe9);
    else if (kind === 8) bytes.push(0xe8);
    else {
      bytes.push(0xc3);
      continue;
    }
    fixups.push({ at: bytes.length, to: random.below(blocks) });
    bytes.push(0, 0, 0, 0);
  }
  bytes.push(0xf4);
  for (const { at, to } of fixups) bytes.splice(at, 4, ...int32(starts[to]! - at - 4));
  return Uint8Array.from(bytes);
}

function int32(value: number): number[] {
  return [value & 255, (value >> 8) & 255, (value >> 16) & 255, (value >> 24) & 255];
}

/** Registers that are often usable as addresses or counts. */
export function randomRegisters(random: Random): bigint[] {
  const one = (): bigint => {
    switch (random.below(5)) {
      case 0:
        return BigInt(random.below(64));
      case 1:
        return (BigInt(random.u32()) << 32n) | BigInt(random.u32());
      case 2:
        return BigInt(PLACE.data + DATA_BYTES - random.below(64)); // at the hole
      default:
        return BigInt(PLACE.data + random.below(DATA_BYTES));
    }
  };
  return Array.from({ length: 16 }, (_, i) => (i === 4 ? BigInt(PLACE.stack) : one()));
}
