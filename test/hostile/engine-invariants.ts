import {
  ENGINE,
  ENGINE_BYTES,
  GUARDS_MAX,
  JUMP_TABLE,
  TLB_EMPTY,
  TLB_ENTRY,
  TLB_TABLE,
  TLB_VIEWS,
} from '../../dist/x86/state/layout.js';
import type { SoftMachine } from '../soft-machine.ts';

const CANARY = 0xa5;
const TLB_END = ENGINE.tlb + TLB_VIEWS * 2 * TLB_TABLE;

/** Parts of the engine's memory that nothing uses: before, between and behind what it has, up to the end of the buffer. */
function unused({ vm }: SoftMachine): Uint8Array[] {
  const { buffer } = vm.memory;
  const part = (from: number, to: number) => new Uint8Array(buffer as ArrayBuffer, from, to - from);
  const ramEnd = ENGINE_BYTES + vm.memory.regions.reduce((sum, { length }) => sum + length, 0);
  return [
    part(ENGINE.guards + GUARDS_MAX * 16, ENGINE.tlb),
    part(ENGINE.jumpCache + 2 * JUMP_TABLE, ENGINE.templates),
    part(ramEnd, buffer.byteLength),
  ];
}

/** Before the guest runs. */
export function placeCanaries(machine: SoftMachine): void {
  for (const part of unused(machine)) part.fill(CANARY);
}

/** What a guest has done to the engine, or undefined: canaries, and whether all translations lead to its own memory. */
export function findEscape(machine: SoftMachine): string | undefined {
  for (const part of unused(machine)) {
    const at = part.findIndex((byte) => byte !== CANARY);
    if (at >= 0) return `byte ${part.byteOffset + at} outside guest memory changed`;
  }
  const { buffer, regions } = machine.vm.memory;
  const view = new DataView(buffer as ArrayBuffer);
  const ramBytes = regions.reduce((sum, { length }) => sum + length, 0);
  for (let at: number = ENGINE.tlb; at < TLB_END; at += TLB_ENTRY) {
    if (view.getBigUint64(at, true) === TLB_EMPTY) continue;
    const host = (view.getUint32(at, true) + view.getInt32(at + 8, true)) >>> 0;
    const inRam = host >= ENGINE_BYTES && host + 4096 <= ENGINE_BYTES + ramBytes && host % 4096 === 0;
    if (!inRam) return `translation at ${at} leads to ${host}`;
  }
  return undefined;
}
