import { arch, freemem, platform, release } from 'node:os';
import { hasNativeCalls } from '../host/native-calls.ts';
import { chooseEngine, type KvmVerdict, SOFT_VCPUS_MAX } from './engine.ts';
import { describeKernel } from './kernel-report.ts';

/** One thing that was looked at. */
export interface Check {
  readonly name: string;
  readonly ok: boolean;
  /** What was found, and what it means. */
  readonly detail: string;
}

/** What this host can do. */
export interface Diagnosis {
  /** Whether a microVM can run at all. */
  readonly usable: boolean;
  /** What engine "auto" chooses. */
  readonly engine: 'soft' | 'kvm';
  readonly kvm: KvmVerdict;
  readonly checks: readonly Check[];
}

const ENGINES = {
  soft: 'soft: a software x86-64 CPU in WebAssembly',
  kvm: "kvm: guests run on this host's processor",
} as const;

const VERDICTS = {
  good: 'usable and fast',
  slow: 'opens, but crawls',
  lacking: 'opens, but is not enough',
  closed: 'not usable',
} as const satisfies Record<KvmVerdict['kind'], string>;

/** Largest guest memory one linear memory holds. */
const MEMORY_MIB_MAX = 3072;

/** Looks at engine, kernel, Node and limits; changes nothing and fetches nothing. */
export async function diagnose(): Promise<Diagnosis> {
  const required = [host(), nodeVersion(), sharedMemory(), await kernel()];
  const choice = chooseEngine();
  const optional = [kvm(choice.kvm), nativeCalls()];
  return {
    usable: required.every(({ ok }) => ok),
    engine: choice.engine,
    kvm: choice.kvm,
    checks: [
      { name: 'engine', ok: true, detail: ENGINES[choice.engine] },
      ...required,
      ...optional,
      limits(choice.engine === 'kvm' ? choice.kvm.vcpusMax : SOFT_VCPUS_MAX),
    ],
  };
}

function host(): Check {
  const ok = platform() === 'linux';
  const detail = `${platform()} ${release()} on ${arch()}${ok ? '' : '; sharing directories needs Linux'}`;
  return { name: 'host', ok, detail };
}

function nodeVersion(): Check {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const ok = major > 20 || (major === 20 && minor >= 20);
  return {
    name: 'node',
    ok,
    detail: `${process.version}, V8 ${process.versions.v8}${ok ? '' : '; 20.20 or later is needed'}`,
  };
}

function sharedMemory(): Check {
  const name = 'wasm threads';
  try {
    new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    return { name, ok: true, detail: 'shared linear memory works' };
  } catch (error) {
    return { name, ok: false, detail: `no shared linear memory: ${(error as Error).message}` };
  }
}

async function kernel(): Promise<Check> {
  const name = 'kernel';
  try {
    const { release: version, path, why } = await describeKernel();
    return { name, ok: true, detail: path === undefined ? why : `Linux ${version}, ${path}: ${why}` };
  } catch (error) {
    return { name, ok: false, detail: (error as Error).message };
  }
}

function kvm({ kind, reason }: KvmVerdict): Check {
  return { name: '/dev/kvm', ok: kind === 'good', detail: `${VERDICTS[kind]}: ${reason}` };
}

function nativeCalls(): Check {
  const ok = hasNativeCalls();
  const detail = ok
    ? 'native calls work'
    : 'not installed or not for this host; file sharing works with fewer operations';
  return { name: 'koffi', ok, detail };
}

function limits(vcpus: number): Check {
  const free = Math.floor(freemem() / 1024 / 1024);
  return {
    name: 'limits',
    ok: true,
    detail: `${vcpus} virtual CPU${vcpus === 1 ? '' : 's'}, ${MEMORY_MIB_MAX} MiB per guest; ${free} MiB free on this host`,
  };
}
