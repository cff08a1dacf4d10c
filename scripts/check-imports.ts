// Fails on every import that the table below does not allow, on import cycles (type-only ones too) and on files nobody imports.
import { posix } from 'node:path';
import { isTest, report, type SourceFile, sourcesUnder } from './sources.ts';

interface Layer {
  /** Folders whose files may be imported; `devices/*` means the folder and all below it. */
  readonly may: readonly string[];
  /** Patterns of files of which only types may be imported. */
  readonly types?: readonly RegExp[];
  readonly node?: true;
  readonly packages?: readonly string[];
}

const CONTRACT = 'hypervisor/contract';

/** Who may import whom: section 3 of ARCHITECTURE.md. A file may always import its own folder. */
const LAYERS: Readonly<Record<string, Layer>> = {
  base: { may: [] },
  wasm: { may: ['base'] },
  memory: { may: ['base'] },
  bus: { may: ['base'] },
  fuse: { may: ['base'] },
  native: { may: ['base'], node: true, packages: ['koffi'] },
  virtio: { may: ['base', 'memory', 'bus'] },
  x86: { may: ['base', 'memory', 'wasm'] },
  devices: { may: ['base', 'memory', 'bus', 'virtio'] },
  'devices/virtio-fs': { may: ['base', 'memory', 'bus', 'virtio', 'fuse'] },
  [CONTRACT]: { may: ['base', 'memory', 'bus'] }, // bus: a VM hands out IrqLine, which devices know from the bus
  'hypervisor/kvm': { may: [CONTRACT, 'base', 'memory', 'bus', 'native'], node: true },
  'hypervisor/soft': { may: [CONTRACT, 'base', 'memory', 'bus', 'x86'] },
  boot: { may: ['base', 'memory', CONTRACT] },
  config: { may: ['base'], types: [/^src\/devices\/[^/]+\/options\.ts$/] },
  host: {
    may: ['base', 'native', 'fuse'],
    // The consumer owns the interface: devices and the software engine say what they need of a host.
    types: [/^src\/devices\/[^/]+\/backend\.ts$/, /^src\/config\//, /^src\/hypervisor\/soft\/[a-z-]+\.ts$/],
    node: true,
    packages: ['fzstd'],
  },
  machine: { may: ['base', 'memory', 'bus', 'virtio', 'devices/*', 'boot', CONTRACT], types: [/^src\/config\//] },
  testing: { may: ['base', 'memory', 'bus', 'virtio', 'fuse', CONTRACT] },
  api: {
    may: ['base', 'config', 'host', 'machine', 'fuse', CONTRACT, 'hypervisor/kvm', 'hypervisor/soft'],
    node: true,
  },
  capi: { may: ['api', 'config', 'base'], node: true },
  cli: { may: ['index'], node: true },
  index: { may: ['api'] },
};

/** Edges we take although the table forbids them, each with its reason. */
const DEVIATIONS: readonly Deviation[] = [
  {
    from: /^src\/host\/kernel\/(provider|kernel-files|decompressors)\.ts$/,
    to: /^src\/boot\/(firmware|kernel-file)\//,
    because:
      'kernels are chosen among files, and read from them, by looking into them, and their format is part of booting',
  },
  {
    from: /^src\/api\/guest-files\.ts$/,
    to: /^src\/boot\/guest-config\.ts$/,
    because: "the guest's configuration is a file of the root share, which is opened before the machine is assembled",
  },
];

/** Cycles we take, by the edge that closes them, each with its reason. */
const CYCLES: readonly Deviation[] = [
  {
    from: /^src\/x86\/decode\/instruction\.ts$/,
    to: /^src\/x86\/isa\/definition\.ts$/,
    because: 'types only: an instruction names its definition, whose semantics take an instruction',
  },
];

/** Parts of tests, although their names do not say so: they run vectors and random programs on the CPU. */
const TEST_SUPPORT = [/^src\/x86\/jit\/(lockstep(-machine)?|random-program)\.ts$/];

/** Files that are started, not imported. */
const ENTRIES = [
  ...TEST_SUPPORT,
  /^src\/index\.ts$/,
  /^src\/capi\/index\.ts$/,
  /^src\/testing\/|-harness\.ts$/,
  /^src\/cli\/main\.ts$/,
  /\.d\.ts$/,
];

interface Deviation {
  readonly from: RegExp;
  readonly to: RegExp;
  readonly because: string;
}

interface Edge {
  readonly from: string;
  readonly to: string;
  readonly typeOnly: boolean;
}

const sources = sourcesUnder('src');
const known = new Set(sources.map((file) => file.path));
const edges = sources.flatMap(importsOf);
report([
  ...edges
    .filter((edge) => !isTest(edge.from) && !matches(TEST_SUPPORT, edge.from) && !isAllowed(edge))
    .map((e) => `${e.from}: must not import ${e.to}`),
  ...cycles(),
  ...sources.filter((file) => !isReached(file.path)).map((file) => `${file.path}: nobody imports it`),
]);

function importsOf(file: SourceFile): Edge[] {
  const found: Edge[] = [];
  const statement =
    /^(?:import|export)\s+(type\s)?(?:[^'";]*?\sfrom\s+)?'([^']+)'|\b(?:await\s+)?import\('([^']+)'\)|new URL\('(\.[^']+)'/gm;
  for (const [, type, plain, dynamic, url] of file.text.matchAll(statement)) {
    const name = plain ?? dynamic ?? url ?? '';
    // A URL of something else than code is data.
    if (url === undefined || /\.[jt]s$/.test(url)) {
      found.push({ from: file.path, to: resolve(file.path, name), typeOnly: type !== undefined });
    }
  }
  return found;
}

function resolve(from: string, name: string): string {
  if (!name.startsWith('.')) return name;
  return posix.join(posix.dirname(from), name).replace(/\.js$/, '.ts');
}

function folderOf(path: string): string {
  const parts = path.split('/').slice(1);
  const name = (parts[parts.length - 1] ?? '').replace(/\.ts$/, '');
  if (parts.length === 1) return name;
  if (parts[0] === 'hypervisor' && parts.length === 2) return name === 'contract' ? CONTRACT : 'hypervisor/kvm';
  const deep = parts[0] === 'hypervisor' || (parts[0] === 'devices' && parts.length > 2);
  return deep ? `${parts[0]}/${parts[1]}` : (parts[0] ?? '');
}

function isAllowed({ from, to, typeOnly }: Edge): boolean {
  const home = folderOf(from);
  const layer = LAYERS[home] ?? LAYERS[home.split('/')[0] ?? ''];
  if (layer === undefined) return false;
  if (to.startsWith('node:')) return layer.node === true;
  if (!to.startsWith('src/')) return !known.has(to) && (layer.packages?.includes(to) === true || to.startsWith('.'));
  const target = folderOf(to);
  if (target === home || (home.startsWith('devices/') && target === 'devices')) return true;
  if (layer.may.includes(target) || layer.may.includes(`${target.split('/')[0]}/*`)) return true;
  if (typeOnly && layer.types?.some((pattern) => pattern.test(to))) return true;
  return taken(DEVIATIONS, { from, to, typeOnly });
}

function taken(list: readonly Deviation[], edge: Edge): boolean {
  return list.some(({ from, to }) => from.test(edge.from) && to.test(edge.to));
}

function matches(patterns: readonly RegExp[], path: string): boolean {
  return patterns.some((pattern) => pattern.test(path));
}

/** Each cycle once, found by depth-first search over files. */
function cycles(): string[] {
  const found: string[] = [];
  const state = new Map<string, 'open' | 'done'>();
  const visit = (path: string, trail: readonly string[]): void => {
    if (state.get(path) === 'done') return;
    if (state.get(path) === 'open') {
      found.push(`import cycle: ${[...trail.slice(trail.indexOf(path)), path].join(' -> ')}`);
      return;
    }
    state.set(path, 'open');
    for (const edge of edges) {
      if (edge.from === path && known.has(edge.to) && !taken(CYCLES, edge)) visit(edge.to, [...trail, path]);
    }
    state.set(path, 'done');
  };
  for (const path of known) if (!isTest(path)) visit(path, []);
  return [...new Set(found)];
}

function isReached(path: string): boolean {
  if (isTest(path) || matches(ENTRIES, path)) return true;
  return edges.some((edge) => edge.to === path && !isTest(edge.from));
}
