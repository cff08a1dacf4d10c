import { spawnSync } from 'node:child_process';
import { emptyState } from '../../dist/testing/executor.js';
import { LAYOUT, MEMORY_BYTES, MEMORY_WINDOWS } from '../../dist/testing/layout.js';
import { buildSilicon } from './native/build.mjs';

// Offsets of struct record in native/silicon.c.
const AT = { rflags: 128, fsBase: 136, gsBase: 144, mxcsr: 152, fcw: 156, fsw: 158, ftw: 160, length: 161, code: 168 };
const AFTER = { rip: 168, vector: 176, error: 180, cr2: 184 };
const XMM = 192;
const ST = 448;
const MEMORY = 528;
const RECORD = MEMORY + MEMORY_BYTES;
const HEADER = 8 * 25;
const MAGIC = 0x314e_4c49_534b_5243n;
const NO_VECTOR = 0xffff_ffff;
/** Bounds the buffers between us and the program. */
const BATCH = 20_000;

/** The processor we run on, as an executor. Linux on x86-64 with gcc and FSGSBASE. */
export function siliconExecutor() {
  const program = buildSilicon();
  const executeAll = (cases) => {
    const results = [];
    for (let at = 0; at < cases.length; at += BATCH) results.push(...runBatch(program, cases.slice(at, at + BATCH)));
    return results;
  };
  return { name: 'silicon', executeAll, execute: (one) => executeAll([one])[0] };
}

function runBatch(program, cases) {
  const input = new Uint8Array(HEADER + RECORD * cases.length);
  writeHeader(new DataView(input.buffer));
  cases.forEach((one, i) => {
    writeCase(input.subarray(HEADER + i * RECORD, HEADER + (i + 1) * RECORD), one);
  });
  const run = spawnSync(program, { input, maxBuffer: input.length + 65536, stdio: ['pipe', 'pipe', 'pipe'] });
  const expected = cases.length * RECORD;
  if (run.status !== 0 || run.stdout.length !== expected) {
    const done = Math.floor((run.stdout?.length ?? 0) / RECORD);
    throw new Error(
      `Cannot run cases on silicon: status ${run.status}, signal ${run.signal}, about ${done} of ${cases.length} done, ` +
        `${run.stderr}`,
    );
  }
  return cases.map((_, i) => readResult(run.stdout.subarray(i * RECORD, (i + 1) * RECORD)));
}

function writeHeader(view) {
  const pages = [LAYOUT.lowPage, LAYOUT.highPage, LAYOUT.holePage, LAYOUT.readOnlyPage, LAYOUT.codePage];
  const words = [RECORD, ...pages, LAYOUT.instruction, MEMORY_WINDOWS.length];
  for (const w of MEMORY_WINDOWS) words.push(w.address, w.length);
  view.setBigUint64(0, MAGIC, true);
  words.forEach((word, i) => {
    view.setBigUint64(8 * (i + 1), BigInt(word), true);
  });
}

function writeCase(record, { bytes, before }) {
  const view = new DataView(record.buffer, record.byteOffset, RECORD);
  before.gpr.forEach((value, i) => {
    view.setBigUint64(8 * i, value, true);
  });
  view.setBigUint64(AT.rflags, BigInt(before.rflags), true);
  view.setBigUint64(AT.fsBase, before.fsBase, true);
  view.setBigUint64(AT.gsBase, before.gsBase, true);
  view.setUint32(AT.mxcsr, before.mxcsr, true);
  view.setUint16(AT.fcw, before.fcw, true);
  view.setUint16(AT.fsw, before.fsw, true);
  record[AT.ftw] = before.ftw;
  record[AT.length] = bytes.length;
  record.set(bytes, AT.code);
  record.set(before.xmm, XMM);
  record.set(before.st, ST);
  record.set(before.memory, MEMORY);
}

function readResult(record) {
  const view = new DataView(record.buffer, record.byteOffset, RECORD);
  const after = emptyState();
  for (let i = 0; i < 16; i++) after.gpr[i] = view.getBigUint64(8 * i, true);
  after.rip = view.getBigUint64(AFTER.rip, true);
  after.rflags = Number(view.getBigUint64(AT.rflags, true));
  after.fsBase = view.getBigUint64(AT.fsBase, true);
  after.gsBase = view.getBigUint64(AT.gsBase, true);
  after.mxcsr = view.getUint32(AT.mxcsr, true);
  after.fcw = view.getUint16(AT.fcw, true);
  after.fsw = view.getUint16(AT.fsw, true);
  after.ftw = record[AT.ftw];
  after.xmm.set(record.subarray(XMM, ST));
  after.st.set(record.subarray(ST, MEMORY));
  after.memory.set(record.subarray(MEMORY));
  const vector = view.getUint32(AFTER.vector, true);
  if (vector === NO_VECTOR) return { after, fault: undefined };
  return {
    after,
    fault: { vector, errorCode: view.getUint32(AFTER.error, true), address: view.getBigUint64(AFTER.cr2, true) },
  };
}
