import { execFile } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { mkdtemp, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheError, errnoOf, KernelError, messageOf, NETWORK_HINT } from './kernel-error.ts';
import type { PinnedPackage } from './pinned-package.ts';

const DEFAULT_REGISTRY = 'https://registry.npmjs.org/';
const OUTPUT_BYTES_MAX = 1 << 20;

/** How the user's npm reaches its registry; what it does not say is undefined. */
export interface NpmSettings {
  readonly registry: string;
  /** A proxy stands between: only npm itself knows how to pass it. */
  readonly proxy: boolean;
  /** PEM certificates that npm's `cafile` adds to Node's own; with them those of NODE_EXTRA_CA_CERTS. */
  readonly ca: readonly string[];
}

/** Asks the npm client, so that every .npmrc, environment variable and default counts as it does for `npm install`. */
export async function npmSettings(npm: string, env: NodeJS.ProcessEnv, pin: PinnedPackage): Promise<NpmSettings> {
  const scope = `${pin.name.split('/')[0]}:registry`;
  const printed = await runNpm(npm, ['config', 'get', scope, 'registry', 'https-proxy', 'proxy', 'cafile'], env).catch(
    () => '',
  );
  const values = new Map<string, string>();
  for (const line of printed.split('\n')) {
    const [, key, value] = /^(\S+?)=(.+)$/.exec(line) ?? [];
    if (key !== undefined && value !== undefined && value !== 'undefined' && value !== 'null') values.set(key, value);
  }
  const cafile = values.get('cafile');
  const proxied = ['https-proxy', 'proxy'].some((key) => values.has(key));
  const proxyVariables = ['HTTPS_PROXY', 'https_proxy', 'HTTP_PROXY', 'http_proxy'].some((name) => env[name]);
  return {
    registry: values.get(scope) ?? values.get('registry') ?? env['npm_config_registry'] ?? DEFAULT_REGISTRY,
    proxy: proxied || proxyVariables,
    ca: cafile === undefined ? [] : await readCertificates([cafile, env['NODE_EXTRA_CA_CERTS']]),
  };
}

/** Files that cannot be read count as empty, as they do for Node and npm. */
async function readCertificates(paths: readonly (string | undefined)[]): Promise<string[]> {
  const texts = await Promise.all(paths.map((path) => (path ? readFile(path, 'utf8').catch(() => '') : '')));
  return texts.filter((text) => text !== '');
}

/**
 * Lets npm fetch the tarball, with whatever registry, proxy, token and certificates the user has set up for it.
 *
 * @param directory an existing directory that the caller removes
 */
export async function* npmPack(
  npm: string,
  {
    pin,
    directory,
    env,
    signal,
  }: { pin: PinnedPackage; directory: string; env: NodeJS.ProcessEnv; signal: AbortSignal | undefined },
): AsyncGenerator<Uint8Array, void, void> {
  const into = await mkdtemp(join(directory, 'pack-')).catch((error: unknown) => {
    throw cacheError(`create a directory in ${directory}`, error);
  });
  const args = ['pack', `${pin.name}@${pin.version}`, '--silent', '--ignore-scripts', '--fetch-retries=1'];
  await runNpm(npm, [...args, '--pack-destination', into], env, signal);
  const tarball = (await readdir(into)).find((name) => name.endsWith('.tgz'));
  if (tarball === undefined)
    throw new KernelError('ERR_KERNEL_DOWNLOAD', `Cannot fetch ${pin.name}: npm pack left no tarball`);
  yield* createReadStream(join(into, tarball), { highWaterMark: 1 << 20 });
}

async function runNpm(
  npm: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  signal?: AbortSignal,
): Promise<string> {
  return await new Promise<string>((resolve, reject) => {
    const options = { env, maxBuffer: OUTPUT_BYTES_MAX, ...(signal && { signal }) };
    execFile(npm, args, options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(signal?.aborted ? signal.reason : npmFailure(args[0] ?? '', error, `${stdout}\n${stderr}`));
    });
  });
}

/** npm prints its reason instead of returning it; these words are errno names of Node and codes of npm itself. */
function npmFailure(command: string, error: Error, output: string): KernelError {
  const code =
    errnoOf(error) ?? /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ENETUNREACH|ETIMEDOUT|ENOSPC|E40[134])\b/.exec(output)?.[1];
  const attempt = `Cannot run npm ${command}`;
  if (code === 'ENOSPC') return new KernelError('ERR_KERNEL_DISK_FULL', `${attempt}: no space left (ENOSPC)`);
  const answered = code?.startsWith('E4') ?? false;
  const missing = code === 'ENOENT';
  return new KernelError(
    answered || (code === undefined && !missing) ? 'ERR_KERNEL_DOWNLOAD' : 'ERR_KERNEL_OFFLINE',
    missing ? `${attempt}: there is no npm in PATH` : `${attempt}: ${code ?? firstLine(messageOf(error))}`,
    { hint: NETWORK_HINT, cause: error },
  );
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? '';
}
