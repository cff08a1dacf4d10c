import { gpr, mem } from './forms.mjs';

/** Encodings that are not instructions in 64-bit mode, and instructions that CPL 3 may not execute. */
export function invalid() {
  return [...removed(), ...lockMisuse(), ...registerOnlyAsMemory(), ...vexMisuse(), ...privileged()].map((t) => ({
    ...t,
    few: true,
  }));
}

/** One-byte opcodes taken out of 64-bit mode, and the instructions whose purpose is #UD. @spec SDM-2D Table A-2 */
function removed() {
  const bytes = [
    0x06, 0x07, 0x0e, 0x16, 0x17, 0x1e, 0x1f, 0x27, 0x2f, 0x37, 0x3f, 0x60, 0x61, 0x82, 0x9a, 0xce, 0xd4, 0xd5, 0xd6,
    0xea,
  ];
  const name = (opcode) => opcode.map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
  const plain = [...bytes.map((byte) => [byte]), [0x0f, 0x0b], [0x0f, 0x04], [0x0f, 0x0a], [0x0f, 0xa6], [0x0f, 0xa7]];
  const groups = [
    [[0xfe], 2],
    [[0xfe], 7],
    [[0xff], 7],
    [[0x8f], 1],
    [[0xc6], 1],
    [[0xc7], 3],
    [[0x0f, 0xba], 0],
    [[0x0f, 0xba], 3],
  ];
  return [
    ...plain.map((opcode) => ({ name: `${name(opcode)} (#UD)`, opcode })),
    ...groups.map(([opcode, digit]) => ({ name: `${name(opcode)} /${digit} (#UD)`, opcode, digit, rm: gpr(4) })),
    ...[0x24, 0x36, 0x39, 0x3b, 0x3e, 0x7a, 0xff].map((byte) => ({
      name: `0f ${byte.toString(16)} (#UD)`,
      opcode: [0x0f, byte],
      reg: gpr(4),
      rm: gpr(4),
    })),
    { name: '0F B9 UD1 (#UD)', opcode: [0x0f, 0xb9], reg: gpr(4), rm: gpr(4) },
    { name: 'INT3', opcode: [0xcc] },
  ];
}

function lockMisuse() {
  const lock = { prefixes: [0xf0] };
  return [
    { ...lock, name: 'LOCK NOP (#UD)', opcode: [0x90] },
    { ...lock, name: 'LOCK MOV (#UD)', opcode: [0x89], reg: gpr(4), rm: mem(4) },
    { ...lock, name: 'LOCK CMP (#UD)', opcode: [0x39], reg: gpr(4), rm: mem(4) },
    { ...lock, name: 'LOCK ADD G,E (#UD)', opcode: [0x03], reg: gpr(4), rm: mem(4) },
    { ...lock, name: 'LOCK BT (#UD)', opcode: [0x0f, 0xa3], reg: gpr(4), rm: mem(4, { align: 64 }) },
    { ...lock, name: 'LOCK TEST (#UD)', opcode: [0x85], reg: gpr(4), rm: mem(4) },
  ];
}

function registerOnlyAsMemory() {
  return [
    { name: 'LEA reg (#UD)', opcode: [0x8d], reg: gpr(4), rm: gpr(4) },
    { name: 'CMPXCHG8B reg (#UD)', opcode: [0x0f, 0xc7], digit: 1, rm: gpr(4) },
    { name: 'MOVNTI reg (#UD)', opcode: [0x0f, 0xc3], reg: gpr(4), rm: gpr(4) },
    { name: 'MOVBE reg (#UD)', opcode: [0x0f, 0x38, 0xf0], reg: gpr(4), rm: gpr(4) },
    { name: 'LDMXCSR reg (#UD)', opcode: [0x0f, 0xae], digit: 2, rm: gpr(4) },
    { name: 'MOVLPD reg (#UD)', prefixes: [0x66], opcode: [0x0f, 0x12], reg: gpr(4), rm: gpr(4) },
  ];
}

/** VEX with a prefix it excludes, a vector length or a vvvv that the instruction reserves. @spec SDM-2A §2.3 */
function vexMisuse() {
  const andn = { opcode: [0xf2], reg: gpr(4), rm: gpr(4) };
  const vex = { map: 2, pp: 0, w: 0, l: 0 };
  return [
    ...[0x66, 0xf2, 0xf3, 0xf0, 0x48].map((byte) => ({
      ...andn,
      name: `${byte.toString(16)} ANDN (#UD)`,
      prefixes: [byte],
      vex,
    })),
    { ...andn, name: 'ANDN L=1 (#UD)', vex: { ...vex, l: 1 } },
    {
      name: 'RORX vvvv (#UD)',
      opcode: [0xf0],
      reg: gpr(4),
      rm: gpr(4),
      immediate: 1,
      vex: { map: 3, pp: 3, w: 0, l: 0 },
      vexOperand: gpr(4, { not: [0] }),
    },
    { name: 'BLSR /0 (#UD)', opcode: [0xf3], digit: 0, rm: gpr(4), vex },
  ];
}

/** All #GP(0) with IOPL 0 and no I/O bitmap. */
function privileged() {
  const plain = [
    ['HLT', [0xf4]],
    ['CLI', [0xfa]],
    ['STI', [0xfb]],
    ['IN AL,DX', [0xec]],
    ['OUT DX,AL', [0xee]],
    ['INSB', [0x6c]],
    ['OUTSB', [0x6e]],
    ['IN EAX,DX', [0xed]],
    ['OUT DX,EAX', [0xef]],
    ['INSD', [0x6d]],
    ['OUTSD', [0x6f]],
    ['CLTS', [0x0f, 0x06]],
    ['INVD', [0x0f, 0x08]],
    ['WBINVD', [0x0f, 0x09]],
    ['WRMSR', [0x0f, 0x30]],
    ['RDMSR', [0x0f, 0x32]],
    ['SWAPGS', [0x0f, 0x01, 0xf8]],
    ['SYSRET', [0x0f, 0x07]],
    ['XSETBV', [0x0f, 0x01, 0xd1]],
  ];
  return [
    ...plain.map(([name, opcode]) => ({ name: `${name} (#GP)`, opcode })),
    { name: 'IN AL,Ib (#GP)', opcode: [0xe4], immediate: 1 },
    { name: 'OUT Ib,AL (#GP)', opcode: [0xe6], immediate: 1 },
    { name: 'MOV R,CR0 (#GP)', opcode: [0x0f, 0x20], digit: 0, rm: gpr(8) },
    { name: 'MOV CR3,R (#GP)', opcode: [0x0f, 0x22], digit: 3, rm: gpr(8) },
    { name: 'MOV R,DR7 (#GP)', opcode: [0x0f, 0x21], digit: 7, rm: gpr(8) },
    { name: 'INVLPG (#GP)', opcode: [0x0f, 0x01], digit: 7, rm: mem(1) },
    { name: 'LGDT (#GP)', opcode: [0x0f, 0x01], digit: 2, rm: mem(10) },
    { name: 'LIDT (#GP)', opcode: [0x0f, 0x01], digit: 3, rm: mem(10) },
    { name: 'LTR (#GP)', opcode: [0x0f, 0x00], digit: 3, rm: gpr(2) },
    { name: 'LLDT (#GP)', opcode: [0x0f, 0x00], digit: 2, rm: gpr(2) },
    { name: 'LMSW (#GP)', opcode: [0x0f, 0x01], digit: 6, rm: gpr(2) },
  ];
}
