import { spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { skipReason } from '../boot/guest.ts';

const noKernel = await skipReason();

/** Skips by name where a guest cannot boot, or where programs are missing that the test uses here or in the guest. */
export function needs(...programs: string[]): { skip: string | false; timeout: number } {
  const missing = programs.filter((program) => spawnSync('/bin/sh', ['-c', `command -v ${program}`]).status !== 0);
  return { skip: noKernel || (missing.length > 0 && `no ${missing.join(', ')} here`), timeout: 300_000 };
}

/** passt takes its addresses from the interface with the default route, and locks itself into namespaces of its own. */
export function needsPasst(...programs: string[]): { skip: string | false; timeout: number } {
  const hasRoute = /^\S+\t00000000\t/m.test(readFileSync('/proc/net/route', 'latin1'));
  const hasNamespaces = spawnSync('unshare', ['--user', 'true']).status === 0;
  const { skip, timeout } = needs('passt', 'python3', ...programs);
  return {
    skip: skip || (!hasRoute && 'no default route here') || (!hasNamespaces && 'no user namespaces here'),
    timeout,
  };
}

/** What `net-client.py` prints. */
export interface Seen {
  readonly mac: string;
  readonly mtu: number;
  readonly resolvers: readonly string[];
  readonly host: string;
  readonly hello: string;
  readonly upload: readonly [here: string, there: string];
  readonly download: string;
  readonly echoes: number;
}

const CLIENT = fileURLToPath(new URL('../../test/guest/net-client.py', import.meta.url));

/** A command for the guest, whose root is the host's. */
export function client(host: string, port: number, { bytes = 0, connections = 0 } = {}): string {
  return `python3 ${CLIENT} ${host} ${port} ${bytes} ${connections}`;
}

/** A server of the host with data of a known digest. */
export interface DataServer {
  readonly server: Server;
  readonly port: number;
  readonly digest: string;
  close(): void;
}

export async function dataServer(bytes: number, address = '127.0.0.1'): Promise<DataServer> {
  const data = randomBytes(bytes);
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    if (request.url === '/hello') response.end('hello from the host');
    else if (request.url === '/data') response.end(data);
    else if (request.url === '/hash') response.end(digestOf(body));
    else response.end(body);
  });
  server.listen(0, address);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const close = (): void => {
    server.close();
    server.closeAllConnections();
  };
  return { server, port, digest: digestOf(data), close };
}

function digestOf(data: Buffer): string {
  return createHash('sha256').update(data).digest('hex');
}

/**
 * A program that enters a machine through krun/capi: the host's root, some calls that must answer 0 (with `ctx`, `k` and
 * `MAC` at hand), and a command for the shell.
 */
export function capiProgram(calls: readonly string[], command: string): string {
  return `import * as k from ${JSON.stringify(new URL('../../dist/capi/index.js', import.meta.url).href)};
const MAC = [2, 0, 0, 0, 0, 7];
const ctx = k.krun_create_ctx();
k.krun_set_vm_config(ctx, 1, 256);
k.krun_add_virtiofs3(ctx, k.KRUN_FS_ROOT_TAG, '/', 0, true);
for (const result of [${calls.join(', ')}]) if (result !== 0) throw new Error('a call answered ' + result);
k.krun_set_exec(ctx, '/bin/sh', ['-ec', ${JSON.stringify(command)}], ['PATH=/usr/bin:/bin:/usr/sbin:/sbin']);
console.log('not reached', await k.krun_start_enter(ctx));`;
}

/** Processes that this one started and whose name begins so. */
export function childrenNamed(name: string): number[] {
  return readdirSync('/proc')
    .filter((id) => {
      try {
        const [, command = '', state, parent] =
          /\((.*)\) (\S) (\d+)/.exec(readFileSync(`/proc/${id}/stat`, 'latin1')) ?? [];
        return command.startsWith(name) && state !== 'Z' && Number(parent) === process.pid;
      } catch {
        return false; // no process, or not any more
      }
    })
    .map(Number);
}
