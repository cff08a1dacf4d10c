// The same guest on both engines, one instruction at a time, where KVM single-steps.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { softHost } from '../host/soft-host.ts';
import { entryState, loadGuest, MEMORY_BYTES } from './guest-harness.ts';
import { openDescriptors, ramOf } from './kvm/descriptors-harness.ts';
import { applyEntryState } from './kvm/registers.ts';
import { KVM, KVM_EXIT, kvm_regs, kvm_run } from './kvm/structs.ts';
import type { KvmVcpuDescriptor } from './kvm/vcpu.ts';
import { createSoftHypervisor } from './soft/index.ts';
import type { SoftVcpu } from './soft/vcpu.ts';

/** In the order of instruction encodings. */
const REGISTERS = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' ');
const STEPS_MAX = 1000;
/** Set while KVM steps, and seen by `pushfq` only on the soft side's terms. */
const TF = 0x100n;
const RF = 0x1_0000n;

let opened: ReturnType<typeof openDescriptors> | undefined;
let skip: string | false = false;
try {
  opened = openDescriptors();
} catch (error) {
  skip = `no KVM: ${(error as Error).message}`;
}

test('registers, flags and memory are the same after each instruction of the mixed guest', { skip }, async () => {
  assert.ok(opened);
  const { vm, vcpu, close } = opened;
  const ram = ramOf(MEMORY_BYTES);
  vm.setUserMemoryRegion({ slot: 0, gpa: 0, length: MEMORY_BYTES, hva: ram.hva });
  loadGuest({ memory: ram.memory, vcpus: [] }, 'mixed', 'long');
  applyEntryState(vcpu, entryState('long'));
  vcpu.setGuestDebug(KVM.GUESTDBG_ENABLE | KVM.GUESTDBG_SINGLESTEP);
  const mapping = vcpu.mapRun();
  const run = new DataView(mapping.buffer);

  const soft = await createSoftHypervisor(softHost).createVm({ memoryBytes: MEMORY_BYTES, vcpus: 1 });
  loadGuest(soft, 'mixed', 'long');
  const { cpu } = soft.vcpus[0] as SoftVcpu;
  cpu.state.setGpr(2, 0n); // what INIT leaves there

  let steps = 0;
  for (let previous = -1n; cpu.state.rip !== previous; steps++) {
    assert.ok(steps < STEPS_MAX);
    previous = cpu.state.rip;
    assert.equal(vcpu.run(), 0);
    assert.equal(run.getUint32(kvm_run.exit_reason, true), KVM_EXIT.DEBUG);
    cpu.step();
    // One step of a repeated instruction is one round for KVM, and all of them for the other.
    for (let round = 0; round < 16 && cpu.state.rip !== previous && ripOf(vcpu) === previous; round++) vcpu.run();
    forgetUndefinedFlags(vcpu, BigInt(cpu.state.rflags()), undefinedFlags(ram.memory.bytes(Number(previous), 4)));
    assert.deepEqual(softState(cpu), kvmState(vcpu), `after the instruction at 0x${previous.toString(16)}`);
  }
  assert.ok(steps > 100);
  assert.deepEqual(soft.memory.bytes(0x2000, 0x200), ram.memory.bytes(0x2000, 0x200));
  mapping.unmap();
  soft.close();
  close();
});

const [CF, PF, AF, ZF, SF, OF] = [0x1n, 0x4n, 0x10n, 0x40n, 0x80n, 0x800n];
const SHIFT = AF | OF; // OF is defined for single shifts only
const MULTIPLY = PF | AF | ZF | SF;

/** Flags that an instruction leaves undefined: engines need not agree on them. @spec SDM-1 §A */
function undefinedFlags(code: Uint8Array): bigint {
  const start = code.findIndex((byte) => byte !== 0x66 && (byte & 0xf0) !== 0x40);
  const [opcode = 0, second = 0] = code.subarray(start);
  if (opcode === 0x0f) {
    if ([0xa3, 0xab, 0xb3, 0xbb, 0xba].includes(second)) return PF | AF | SF | OF; // bt and its kin
    if (second === 0xbc || second === 0xbd) return CF | PF | AF | SF | OF; // bsf, bsr
    return second === 0xaf ? MULTIPLY : [0xa4, 0xac].includes(second) ? SHIFT : 0n;
  }
  if (opcode === 0x69 || opcode === 0x6b) return MULTIPLY;
  if (opcode === 0xf6 || opcode === 0xf7)
    return [0n, 0n, 0n, 0n, MULTIPLY, MULTIPLY, ALL, ALL][(second >> 3) & 7] ?? 0n;
  return [0xc0, 0xc1, 0xd0, 0xd1, 0xd2, 0xd3].includes(opcode) ? SHIFT : 0n;
}

const ALL = CF | PF | AF | ZF | SF | OF;

/** Gives KVM's processor the other's flags where they are undefined: they stay until an instruction defines them. */
function forgetUndefinedFlags(vcpu: KvmVcpuDescriptor, flags: bigint, mask: bigint): void {
  if (mask === 0n) return;
  const regs = vcpu.getRegs();
  const own = regs.getBigUint64(kvm_regs.rflags, true);
  regs.setBigUint64(kvm_regs.rflags, (own & ~mask) | (flags & mask), true);
  vcpu.setRegs(regs);
}

type State = Readonly<Record<string, string>>;

function softState({ state }: SoftVcpu['cpu']): State {
  const values = REGISTERS.map((name, index) => [name, state.gpr(index)] as const);
  return asText([...values, ['rip', state.rip], ['rflags', BigInt(state.rflags())]]);
}

function kvmState(vcpu: KvmVcpuDescriptor): State {
  const regs = vcpu.getRegs();
  const names = [...REGISTERS, 'rip', 'rflags'] as (keyof typeof kvm_regs)[];
  return asText(names.map((name) => [name, regs.getBigUint64(kvm_regs[name], true)]));
}

function ripOf(vcpu: KvmVcpuDescriptor): bigint {
  return vcpu.getRegs().getBigUint64(kvm_regs.rip, true);
}

function asText(values: readonly (readonly [string, bigint])[]): State {
  return Object.fromEntries(
    values.map(([name, value]) => {
      const kept = name === 'rflags' ? value & ~(TF | RF) : value;
      return [name, BigInt.asUintN(64, kept).toString(16)];
    }),
  );
}
