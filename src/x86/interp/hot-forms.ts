/**
 * The forms that make up nearly all that kernels and programs execute, by opcode (as in the definition), each with its operand
 * sizes and how ModRM.rm is used: r register, s memory at base plus displacement, f memory with a full address. Those above
 * an eighth of a percent of the instructions of a Linux boot or of a mix of shell, perl, python, sort and gzip; 64-bit code only.
 */
export const HOT_FORMS: Readonly<Record<string, string>> = {
  '8B': '32f 32s 64f 64s', // MOV
  '89': '32r 32s 64r 64s', // MOV
  '50 +r': '64r', // PUSH
  '58 +r': '64r', // POP
  '74': '64r', // JZ
  '75': '64r', // JNZ
  '0F 84': '64r', // JZ
  '80 /7': '32r 32s', // CMP
  '85': '32r 64r', // TEST
  C3: '64r', // RET
  E8: '64r', // CALL
  '83 /0': '32r 64r 64s', // ADD
  '31': '32r 64r', // XOR
  '0F 85': '64r', // JNZ
  '39': '32r 64r 64s', // CMP
  '0F B6': '32f 32r 32s', // MOVZX
  '8D mem': '32s 64f 64s', // LEA
  'B8 +r': '32r 64r', // MOV
  'C6 /0': '32s', // MOV
  '01': '32r 64r', // ADD
  '83 /4': '32r 64r', // AND
  '83 /5': '32r 64r 64s', // SUB
  '83 /7': '32r 64r 64s', // CMP
  EB: '64r', // JMP
  '84': '32r', // TEST
  E9: '64r', // JMP
  'F6 /0': '32r 32s', // TEST
  'C7 /0': '32s 64r 64s', // MOV
  'NP 0F 28': '32s', // MOVAPS
  'NP 0F 57': '32s', // XORPS
  'NP 0F 29': '32s', // MOVAPS
  'C1 /5': '32r 64r', // SHR
  '72': '64r', // JB
  '63': '64r 64s', // MOVSXD
  '88': '32s', // MOV
  '0F 18 /r': '32r', // NOP
  'C1 /4': '64r', // SHL
  '29': '32r 64r', // SUB
  A8: '32r', // TEST
  '3D': '32r 64r', // CMP
  'C1 /0': '32r 64r', // ROL
  '0F 87': '64r', // JA
  '90 +r': '16r', // XCHG
  '0F 88': '64r', // JS
  '81 /4': '32r', // AND
  '0F B7': '32s', // MOVZX
  '0F 8F': '64r', // JG
  '73': '64r', // JAE
  '81 /7': '64r 64s', // CMP
  '0F 82': '64r', // JB
  A9: '32r', // TEST
  '2B': '64f 64s', // SUB
  '3B': '64s', // CMP
  '0F 1F /r': '32r', // NOP
  '77': '64r', // JA
  '19': '32r', // SBB
  'D3 /4': '64r', // SHL
  '21': '64r', // AND
  '25': '32r 64r', // AND
  'FF /2': '64s', // CALL
  '38': '32s', // CMP
  'F7 /0': '32r', // TEST
  '81 /0': '64r', // ADD
  '09': '32r 64r', // OR
  '3C': '32r', // CMP
  '0F 83': '64r', // JAE
  '0F 8E': '64r', // JLE
  'FF /4': '64r 64s', // JMP
  '0F 86': '64r', // JBE
  '7F': '64r', // JG
  '7E': '64r', // JLE
  '0F 44': '64r', // CMOVZ
  '79': '64r', // JNS
};
