/** Shorthands shared by the template lists. */
export const RAX = 0;
export const RCX = 1;
export const RDX = 2;
export const RBX = 3;
export const RSP = 4;
export const RBP = 5;
export const RSI = 6;
export const RDI = 7;

export const gpr = (size, more = {}) => ({ file: 'gpr', size, ...more });
export const xmm = (domain = 'int', more = {}) => ({ file: 'xmm', domain, ...more });
export const mmx = (domain = 'int', more = {}) => ({ file: 'mmx', domain, ...more });
export const mem = (size, more = {}) => ({ file: 'mem', size, ...more });

/** Prefix and REX.W that give operand size `size` (bytes). */
export function sized(size) {
  return { prefixes: size === 2 ? [0x66] : [], rexW: size === 8 };
}

/** Operand sizes of "Ev". */
export const V = [2, 4, 8];
export const BITS = { 1: 8, 2: 16, 4: 32, 8: 64 };

/** The same template twice: register and memory as ModRM.rm. */
export function regAndMem(template, size, more = {}) {
  return [
    { ...template, name: `${template.name} reg`, rm: gpr(size) },
    { ...template, name: `${template.name} mem`, rm: mem(size, more) },
  ];
}

/** The memory form with LOCK, and the register form, which is #UD with it. */
export function locked(template, size) {
  const t = { ...template, prefixes: [0xf0, ...(template.prefixes ?? [])] };
  return [
    { ...t, name: `LOCK ${template.name} mem`, rm: mem(size) },
    { ...t, name: `LOCK ${template.name} reg (#UD)`, rm: gpr(size), few: true },
  ];
}

/** Immediate bytes of "Iz". */
export const immediateZ = (size) => Math.min(size, 4);
