// Records vectors on this processor: node test/differential/record.mjs [family...] [--seed n] [--cases n]
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { ByteWriter } from '../../dist/testing/byte-stream.js';
import { writeDelta } from '../../dist/testing/state-delta.js';
import { layoutKey, VECTOR_KIND, VECTOR_MAGIC, zeroState } from '../../dist/testing/vectors.js';
import { generateFamily } from './generate.mjs';
import { siliconVersion } from './native/build.mjs';
import { siliconExecutor } from './silicon.mjs';
import { FAMILIES } from './templates/families.mjs';

const OUTPUT = new URL('../vectors/', import.meta.url).pathname;

function record(family, { seed, perTemplate }) {
  const { templates, cases, base } = generateFamily(family, { seed, perTemplate });
  const results = siliconExecutor().executeAll(cases);
  const header = {
    tool: `silicon ${siliconVersion()}`,
    cpu: cpuModel(),
    family,
    seed,
    layout: layoutKey(),
    caseCount: cases.length,
    templates: templates.map(({ name, feature = '', toleranceUlps = 0 }) => ({ name, feature, toleranceUlps })),
    base: hexDelta(zeroState(), base),
  };
  const writer = new ByteWriter();
  const text = new TextEncoder().encode(JSON.stringify(header));
  writer.bytes(new TextEncoder().encode(VECTOR_MAGIC));
  writer.u32(text.length);
  writer.bytes(text);
  cases.forEach((one, i) => {
    writeCase(writer, base, one, results[i]);
  });
  const packed = gzipSync(writer.finish(), { level: 9 });
  mkdirSync(OUTPUT, { recursive: true });
  writeFileSync(`${OUTPUT}${family}.bin.gz`, packed);
  report(family, templates, cases, results, packed.length);
}

function hexDelta(from, to) {
  const writer = new ByteWriter();
  writeDelta(writer, from, to);
  return Buffer.from(writer.finish()).toString('hex');
}

function writeCase(writer, base, one, { after, fault }) {
  const { bytes, before, undefinedFlags, undefinedFsw, undefinedMemory } = one;
  const usualRip = fault ? before.rip : before.rip + BigInt(bytes.length);
  const kind =
    (undefinedFlags || undefinedFsw ? VECTOR_KIND.undefinedBits : 0) |
    (undefinedMemory.length ? VECTOR_KIND.undefinedMemory : 0) |
    (after.rip !== usualRip ? VECTOR_KIND.rip : 0) |
    (fault ? VECTOR_KIND.fault : 0);
  writer.leb(one.templateIndex);
  writer.u8(bytes.length);
  writer.bytes(bytes);
  writer.u8(kind);
  if (kind & VECTOR_KIND.undefinedBits) {
    writer.u32(undefinedFlags);
    writer.u32(undefinedFsw);
  }
  if (undefinedMemory.length) {
    writer.leb(undefinedMemory.length);
    for (const { offset, length } of undefinedMemory) {
      writer.leb(offset);
      writer.leb(length);
    }
  }
  writeDelta(writer, base, before);
  writeDelta(writer, before, after);
  if (kind & VECTOR_KIND.rip) writer.u64(after.rip);
  if (fault) {
    writer.u8(fault.vector);
    writer.u32(fault.errorCode);
    writer.u64(fault.address);
  }
}

/** Vendor, family, model and stepping: what decides about behaviour the architecture leaves open. */
function cpuModel() {
  const info = readFileSync('/proc/cpuinfo', 'utf8');
  const field = (name) => new RegExp(`^${name}\\s*: (.*)$`, 'm').exec(info)?.[1] ?? '?';
  return `${field('vendor_id')} ${field('model name')} family ${field('cpu family')} model ${field('model')} stepping ${field('stepping')}`;
}

function report(family, templates, cases, results, size) {
  const faults = {};
  const always = templates.map(() => true);
  cases.forEach(({ templateIndex }, i) => {
    const vector = results[i].fault?.vector;
    if (vector !== undefined) faults[vector] = (faults[vector] ?? 0) + 1;
    always[templateIndex] &&= vector === 6;
  });
  const counts = Object.entries(faults).map(([vector, n]) => `${vector}:${n}`);
  console.log(
    `${family}: ${templates.length} templates, ${cases.length} cases, ${size} bytes, faults ${counts.join(' ')}`,
  );
  const unknown = templates.filter((t, i) => always[i] && !t.name.includes('#UD')).map((t) => t.name);
  if (unknown.length) console.log(`  always #UD here: ${unknown.join('; ')}`);
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seed: { type: 'string', default: '20240601' }, cases: { type: 'string', default: '32' } },
});
for (const family of positionals.length ? positionals : Object.keys(FAMILIES)) {
  record(family, { seed: Number(values.seed), perTemplate: Number(values.cases) });
}
