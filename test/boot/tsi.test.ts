import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { MicroVm, type MicroVmOptions } from 'krun';
import { skipReason } from './guest.ts';

const options = { skip: await skipReason(), timeout: 300_000 };

const HELPERS = `
import errno, hashlib, os, socket, sys, threading, time
def drain(s):
    parts = []
    while True:
        part = s.recv(65536)
        if not part:
            return b''.join(parts)
        parts.append(part)
def digest(b):
    return hashlib.sha256(b).hexdigest()
def attempt(f):
    try:
        f()
        return 'ok'
    except OSError as e:
        return type(e).__name__ if e.errno is None else errno.errorcode[e.errno]
def udp(to, message=b'hello', family=socket.AF_INET, wait=5):
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.settimeout(wait)
        s.sendto(message, to)
        return s.recv(65536).decode()
`;

test('without network a guest has no way out', options, async (t) => {
  const port = await listening(t, echoServer());
  const { stdout } = await python(`
print(attempt(lambda: socket.create_connection(('127.0.0.1', ${port}), 5)))
print(attempt(lambda: socket.create_connection(('198.51.100.1', ${port}), 5)))
`);
  assert.deepEqual(stdout.split('\n'), ['ECONNREFUSED', 'ENETUNREACH', '']);
});

test(
  'TCP and UDP over IPv4 and IPv6 reach servers of the host, with half-close, names and megabytes',
  options,
  async (t) => {
    const sent = randomBytes(3 << 20);
    const v4 = await listening(t, echoServer());
    const v6 = await listening(t, echoServer(), '::1');
    const source = await listening(
      t,
      createServer((socket) => socket.end(sent)),
    );
    const digests: string[] = [];
    const sink = await listening(
      t,
      createServer({ allowHalfOpen: true }, async (socket) => {
        digests.push(sha(await readAll(socket)));
        socket.end('thanks');
      }),
    );
    const [u4, u6] = [await udpEcho(t, 'udp4', '127.0.0.1'), await udpEcho(t, 'udp6', '::1')];
    const { stdout, stderr } = await python(
      `
for host, port in (('127.0.0.1', ${v4}), ('::1', ${v6})):
    with socket.create_connection((host, port), 30) as s:
        s.sendall(b'half')
        s.shutdown(socket.SHUT_WR)
        print(s.getpeername()[:2] == (host, port), drain(s).decode())
with socket.create_connection(('127.0.0.1', ${source}), 30) as s:
    print(digest(drain(s)))
data = os.urandom(3 << 20)
with socket.create_connection(('127.0.0.1', ${sink}), 30) as s:
    s.sendall(data)
    s.shutdown(socket.SHUT_WR)
    print(digest(data), drain(s).decode())
print(udp(('127.0.0.1', ${u4})), udp(('::1', ${u6}), family=socket.AF_INET6))
print(attempt(lambda: socket.create_connection(('127.0.0.1', 1), 30)))
`,
      { network: {} },
    );
    const lines = stdout.split('\n');
    assert.equal(stderr, '');
    assert.deepEqual(lines, [
      'True echo half',
      'True echo half',
      sha(sent),
      `${digests[0]} thanks`,
      'echo hello echo hello',
      'ECONNREFUSED',
      '',
    ]);
  },
);

test('2,000 short connections, 16 at a time, all arrive', options, async (t) => {
  let served = 0;
  const server = createServer((socket) => {
    served += 1;
    socket.end(`n${served}`);
  });
  const port = await listening(t, server);
  const { stdout, stderr } = await python(
    `
good = [0] * 16
def work(me):
    for n in range(125):
        with socket.create_connection(('127.0.0.1', ${port}), 60) as s:
            good[me] += drain(s).startswith(b'n')
start = time.time()
threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
for one in threads: one.start()
for one in threads: one.join()
print(sum(good))
print('%d connections a second' % (2000 / (time.time() - start)), file=sys.stderr)
`,
    { network: { allow: [`127.0.0.1:${port}`] } },
  );
  t.diagnostic(stderr.trim());
  assert.equal(stdout, '2000\n', stderr);
  assert.equal(served, 2000);
  await new Promise<void>((resolve) => setImmediate(resolve));
  assert.equal(await connectionsOf(server), 0);
});

test('a published port reaches the guest; a port that is not published is bound nowhere', options, async (t) => {
  const [published, hidden] = [await freePort(t), await freePort(t)];
  const { stdout, host } = await python(
    `
def serve(port):
    l = socket.socket()
    l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    l.bind(('0.0.0.0', port))
    l.listen(16)
    return l
quiet = serve(${hidden})
l = serve(8080)
print('ready', flush=True)
for n in range(41):
    c, _ = l.accept()
    data = drain(c)
    c.sendall(data + b'!')
    c.close()
print('local', attempt(lambda: socket.create_connection(('127.0.0.1', ${hidden}), 5)))
`,
    { network: { ports: { [published]: 8080 } } },
    async () => {
      await assert.rejects(exchange(hidden, 'x'), { code: 'ECONNREFUSED' });
      const answers: string[] = [];
      for (let round = 0; round < 10; round++) {
        const numbers = [0, 1, 2, 3].map((n) => `${round}.${n}`);
        answers.push(...(await Promise.all(numbers.map((text) => exchange(published, text)))));
      }
      const big = randomBytes(1 << 20).toString('hex');
      return [...answers.slice(-2), (await exchange(published, big)) === `${big}!`];
    },
  );
  assert.deepEqual(host, ['9.2!', '9.3!', true]);
  assert.equal(stdout, 'ready\nlocal ok\n');
});

test('ports "all" binds what the guest listens at, at its own number', options, async (t) => {
  const port = await freePort(t);
  const { host } = await python(
    `
with socket.create_server(('127.0.0.1', ${port})) as l:
    print('ready', flush=True)
    c, who = l.accept()
    c.sendall(who[0].encode())
    c.close()
`,
    { network: { ports: 'all' } },
    () => exchange(port, ''),
  );
  assert.equal(host, '127.0.0.1');
});

test(
  'the policy holds for connections and datagrams; deny wins; names are answered by our resolver only',
  options,
  async (t) => {
    const [open, closed] = [await listening(t, echoServer()), await listening(t, echoServer())];
    const echo = await udpEcho(t, 'udp4', '127.0.0.1');
    const asked: string[] = [];
    const dns = await dnsServer(t, asked, { 'allowed.test': '192.0.2.77', 'rebound.test': '127.0.0.1' });
    const { stdout, stderr } = await python(
      `
import struct
def dial(host, port):
    return attempt(lambda: socket.create_connection((host, port), 5).close())
def ask(name, server):
    labels = b''.join(bytes([len(p)]) + p.encode() for p in name.split('.'))
    query = struct.pack('>6H', 77, 0x100, 1, 0, 0, 0) + labels + b'\\0' + struct.pack('>2H', 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(10)
        s.sendto(query, (server, 53))
        answer = s.recv(512)
        return '.'.join(map(str, answer[-4:])) if answer[7] else 'rcode %d' % (answer[3] & 15)
print(dial('127.0.0.1', ${open}), dial('127.0.0.1', ${closed}), dial('::ffff:127.0.0.1', ${closed}), dial('0.0.0.0', ${closed}))
print(udp(('127.0.0.1', ${open}), wait=0.3) if False else attempt(lambda: udp(('127.0.0.1', ${echo}), wait=1)))
print(dial('192.0.2.77', 9))
for name in ('allowed.test', 'rebound.test', 'secret.test'):
    print(ask(name, '198.51.100.53'))
print(dial('127.0.0.1', ${closed}), dial('192.0.2.77', 9) != 'EACCES', dial('192.0.2.77', 443))
`,
      {
        network: {
          allow: [`127.0.0.1:${open}`, `127.0.0.1:${closed}`, 'allowed.test:9', 'rebound.test'],
          deny: [`:${closed}`],
          dns: [`127.0.0.1:${dns}`],
        },
      },
    );
    assert.equal(stderr, '');
    assert.deepEqual(stdout.split('\n'), [
      'ok EACCES EACCES EACCES',
      'TimeoutError',
      'EACCES',
      '192.0.2.77',
      '127.0.0.1',
      'rcode 5',
      'EACCES True EACCES',
      '',
    ]);
    assert.deepEqual(asked, ['allowed.test', 'rebound.test']);
  },
);

test('programs resolve names as ever, through the server that their own configuration names', options, async (t) => {
  const asked: string[] = [];
  const dns = await dnsServer(t, asked, { 'allowed.test': '192.0.2.77' });
  // The host's own resolv.conf, which this guest would see, may name a loopback address.
  const script = `mount -t tmpfs none /mnt && echo nameserver 198.51.100.53 > /mnt/resolv.conf
mount --bind /mnt/resolv.conf /etc/resolv.conf
getent ahostsv4 allowed.test | sed -n '1s/ .*//p'
getent ahostsv4 secret.test || echo none`;
  const { stdout, stderr } = await python('', {
    command: ['/bin/sh', '-c', script],
    network: { allow: ['allowed.test'], dns: [`127.0.0.1:${dns}`] },
  });
  assert.deepEqual([stdout, stderr], ['192.0.2.77\nnone\n', '']);
  assert.ok(asked.length > 0 && asked.every((name) => name === 'allowed.test'), asked.join());
});

test("krun/capi has Internet sockets without being asked, and the port map is upstream's", options, async (t) => {
  const server = await listening(t, echoServer());
  const [mapped, hidden] = [await freePort(t), await freePort(t)];
  const script = `${HELPERS}
with socket.create_connection(('127.0.0.1', ${server}), 30) as s:
    s.sendall(b'out')
    s.shutdown(socket.SHUT_WR)
    print(drain(s).decode(), flush=True)
quiet = socket.create_server(('127.0.0.1', ${hidden}))
with socket.create_server(('127.0.0.1', 7777)) as l:
    print('ready', flush=True)
    c, _ = l.accept()
    c.sendall(b'in')
    c.close()
`;
  const program = `
    import * as capi from ${JSON.stringify(import.meta.resolve('krun/capi'))};
    const ctx = capi.krun_create_ctx();
    const results = [
      capi.krun_set_vm_config(ctx, 1, 256),
      capi.krun_set_root(ctx, '/'),
      capi.krun_set_port_map(ctx, ['${mapped}:7777', null]),
      capi.krun_set_exec(ctx, '/usr/bin/env', ['python3', '-c', ${JSON.stringify(script)}], ['PATH=/usr/bin:/bin']),
    ];
    if (results.some((result) => result !== 0)) throw new Error(results.join());
    process.exitCode = 100 - (await capi.krun_start_enter(ctx));
  `;
  const folder = mkdtempSync(join(tmpdir(), 'krun-tsi-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, 'enter.mjs'), program);
  const child = spawn(process.execPath, [join(folder, 'enter.mjs')], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  const ended = new Promise<number | null>((resolve) => child.on('exit', resolve));
  let stdout = '';
  let inside: Promise<string> | undefined;
  for await (const chunk of child.stdout) {
    stdout += String(chunk);
    if (inside !== undefined || !stdout.includes('ready')) continue;
    await assert.rejects(exchange(hidden, 'x'), { code: 'ECONNREFUSED' });
    inside = exchange(mapped, '');
  }
  assert.deepEqual([stdout, await inside, await ended], ['echo out\nready\n', 'in', 0]);
});

function echoServer(): Server {
  return createServer({ allowHalfOpen: true }, async (socket) => {
    const data = await readAll(socket);
    socket.end(Buffer.concat([Buffer.from('echo '), data]));
  });
}

async function listening(t: TestContext, server: Server, address = '127.0.0.1'): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

async function freePort(t: TestContext): Promise<number> {
  const server = createServer();
  const port = await listening(t, server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function udpEcho(t: TestContext, type: 'udp4' | 'udp6', address: string): Promise<number> {
  const socket = createSocket(type);
  socket.on('message', (message, { port, address: from }) => socket.send(`echo ${message}`, port, from));
  await new Promise<void>((resolve) => socket.bind(0, address, resolve));
  t.after(() => socket.close());
  return socket.address().port;
}

/** Answers A questions from a table; whoever asks for something else gets no address. */
async function dnsServer(t: TestContext, asked: string[], table: Record<string, string>): Promise<number> {
  const socket = createSocket('udp4');
  socket.on('message', (query, { port, address }) => {
    const labels: string[] = [];
    let at = 12;
    for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
      labels.push(query.toString('latin1', at + 1, at + 1 + length));
      at += 1 + length;
    }
    const name = labels.join('.');
    asked.push(name);
    const ip = table[name];
    const head = Buffer.from(query.subarray(0, at + 5));
    head.writeUInt16BE(0x8180, 2);
    head.writeUInt16BE(ip === undefined ? 0 : 1, 6);
    const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...(ip ?? '').split('.').map(Number)]);
    socket.send(ip === undefined ? head : Buffer.concat([head, record]), port, address);
  });
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  t.after(() => socket.close());
  return socket.address().port;
}

async function exchange(port: number, text: string): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  socket.end(text);
  return String(await readAll(socket));
}

/** Runs a script; `once` is called when it prints its first line. */
async function python<T>(script: string, more: Partial<MicroVmOptions> = {}, once?: () => Promise<T>) {
  await using vm = await MicroVm.start({
    root: '/',
    readOnly: true,
    memoryMiB: 256,
    timeoutMs: 240_000,
    command: ['python3', '-c', HELPERS + script],
    ...more,
  });
  vm.stdin.end();
  let stdout = '';
  let host: Promise<T> | undefined;
  const errors = vm.stderr.text();
  for await (const chunk of vm.stdout) {
    stdout += Buffer.from(chunk).toString();
    host ??= once?.();
  }
  const { reason } = await vm.exited;
  assert.equal(reason, 'exited');
  return { stdout, stderr: await errors, host: await host };
}

function connectionsOf(server: Server): Promise<number> {
  return new Promise((resolve, reject) =>
    server.getConnections((error, count) => (error ? reject(error) : resolve(count))),
  );
}

async function readAll(socket: Socket): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of socket.iterator({ destroyOnReturn: false })) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

function sha(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
