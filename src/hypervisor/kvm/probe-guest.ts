import type { EntryState } from '../contract.ts';
import { guestCpuid } from './cpuid.ts';
import type { GuestRam } from './guest-ram.ts';
import { applyEntryState } from './registers.ts';
import { KVM_EXIT, kvm_regs, kvm_run } from './structs.ts';
import type { KvmSystem } from './system.ts';
import type { KvmVcpuDescriptor } from './vcpu.ts';
import type { KvmVmDescriptor } from './vm.ts';

/** Something a kernel does; the code ends by writing to a port. */
export interface ProbeStep {
  readonly name: string;
  /** Machine code in hexadecimal. */
  readonly code: string;
  /** The CPUID bit that offers it; absent: every processor has it. */
  readonly leaf?: { readonly number: number; readonly register: 'ebx' | 'ecx' | 'edx'; readonly bit: number };
}

export const STEPS: readonly ProbeStep[] = [
  { name: 'long mode', code: 'b001e6f4' },
  {
    name: 'cmpxchg16b', // lock cmpxchg16b [3000]
    code: 'bf0030000031c031d2bb11000000b922000000f0480fc70fe6f4',
    leaf: { number: 1, register: 'ecx', bit: 13 },
  },
  { name: 'SSE2', code: 'bf00300000660f76c0660f7f07e6f4' }, // pcmpeqd xmm0, xmm0; movdqa [3000], xmm0
  {
    name: 'xsave', // CR4.OSXSAVE; xsetbv; xsave [3000]; xrstor [3000]
    code: '0f20e00d000604000f22e031c9b80300000031d20f01d1bf00300000b80300000031d20fae27b80300000031d20fae2fe6f4',
    leaf: { number: 1, register: 'ecx', bit: 26 },
  },
  { name: 'popcnt', code: 'b805000000f30fb8c0e6f4', leaf: { number: 1, register: 'ecx', bit: 23 } },
  { name: 'BMI1', code: 'b805000000b903000000c4e270f2c0e6f4', leaf: { number: 7, register: 'ebx', bit: 3 } }, // andn
];

/** out f4; dec ecx, jnz back, ecx times; out f4 */
const LOOP = 'e6f4ffc975fce6f4';
const LOOP_INSTRUCTIONS = 2;

export const PROBE_MEMORY_BYTES = 2 * 1024 * 1024;
const CODE = 0x1000;
const PML4 = 0xa000;
const SEGMENT = { base: 0, limit: 0xffff_ffff };

/** Long mode in supervisor mode, with SSE on, one large page, and no descriptor tables: a fault is a shutdown. */
const ENTRY: EntryState = {
  rip: CODE,
  rsp: 0x8000,
  rbp: 0,
  rsi: 0,
  rbx: 0,
  cr0: 0x8000_0013,
  cr3: PML4,
  cr4: 0x620,
  efer: 0x500,
  gdt: { base: 0, limit: 0 },
  idt: { base: 0, limit: 0 },
  cs: { ...SEGMENT, selector: 8, attributes: 0xa09b },
  data: { ...SEGMENT, selector: 16, attributes: 0xc093 },
  tr: { selector: 24, base: 0, limit: 0xffff, attributes: 0x8b },
};

/** A guest that runs on the caller's thread, a few instructions at a time. */
export class ProbeGuest {
  readonly #vm: KvmVmDescriptor;
  readonly #vcpu: KvmVcpuDescriptor;
  readonly #mapping: ReturnType<KvmVcpuDescriptor['mapRun']>;
  readonly #ram: GuestRam;

  constructor(system: KvmSystem, ram: GuestRam) {
    this.#ram = ram;
    this.#vm = system.createVm();
    this.#vm.setTssAddr(0xfffb_d000);
    this.#vm.setUserMemoryRegion({ slot: 0, gpa: 0, length: PROBE_MEMORY_BYTES, hva: ram.hva });
    this.#vcpu = this.#vm.createVcpu(0);
    const topology = { index: 0, vcpus: 1, nested: false, tscDeadline: false };
    this.#vcpu.setCpuid2(guestCpuid(system.getSupportedCpuid(), topology));
    this.#mapping = this.#vcpu.mapRun();
    ram.memory.writeU64(PML4, BigInt(PML4 + 0x1003));
    ram.memory.writeU64(PML4 + 0x1000, BigInt(PML4 + 0x2003));
    ram.memory.writeU64(PML4 + 0x2000, 0x83n); // 2 MiB
  }

  /** @returns what happened instead of the port write, or undefined: it came */
  run(code: string): string | undefined {
    this.#load(code, 0);
    return this.#untilPort();
  }

  /** 0 when the loop did not run to its end. */
  instructionsPerSecond(rounds: number): number {
    this.#load(LOOP, rounds);
    if (this.#untilPort() !== undefined) return 0;
    const start = performance.now();
    if (this.#untilPort() !== undefined) return 0;
    return (rounds * LOOP_INSTRUCTIONS * 1000) / Math.max(performance.now() - start, 1e-3);
  }

  close(): void {
    this.#mapping.unmap();
    this.#vcpu.close();
    this.#vm.close();
  }

  #load(code: string, rcx: number): void {
    const bytes = code.match(/../g) ?? [];
    this.#ram.memory.write(
      CODE,
      Uint8Array.from(bytes, (pair) => Number.parseInt(pair, 16)),
    );
    applyEntryState(this.#vcpu, ENTRY);
    const regs = this.#vcpu.getRegs();
    regs.setBigUint64(kvm_regs.rcx, BigInt(rcx), true);
    this.#vcpu.setRegs(regs);
  }

  #untilPort(): string | undefined {
    const result = this.#vcpu.run();
    if (result !== 0) return `KVM_RUN answers ${result}`;
    const reason = new DataView(this.#mapping.buffer).getUint32(kvm_run.exit_reason, true);
    if (reason === KVM_EXIT.IO) return undefined;
    const name = Object.entries(KVM_EXIT).find(([, value]) => value === reason)?.[0] ?? reason;
    return `KVM_EXIT_${name}`;
  }
}
