import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { MicroVm, type MicroVmOptions, type VsockStream } from 'krun';
import { skipReason } from './guest.ts';

const options = { skip: await skipReason(), timeout: 300_000 };

const HELPERS = `
import socket, sys, hashlib, threading
def dial(port):
    s = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    s.settimeout(60)
    s.connect((2, port))
    return s
def serve(port, backlog=16):
    s = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    s.bind((socket.VMADDR_CID_ANY, port))
    s.listen(backlog)
    return s
def drain(s):
    parts = []
    while True:
        part = s.recv(65536)
        if not part:
            return b''.join(parts)
        parts.append(part)
def digest(b):
    return hashlib.sha256(b).hexdigest()
`;

test('a guest program reaches a unix socket of the host, and both directions end on their own', options, async (t) => {
  const path = join(folder(t), 'host.sock');
  const heard: string[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    let text = '';
    socket.on('data', (chunk) => (text += String(chunk)));
    socket.on('end', () => {
      heard.push(text);
      socket.end(`heard ${text}`); // after the guest's end of stream
    });
  }).listen(path);
  t.after(() => server.close());
  const { stdout, stderr, code } = await python(
    `
s = dial(1234)
s.sendall(b'ping')
s.shutdown(socket.SHUT_WR)
print(drain(s).decode())
for port in (1235, 9999):
    try:
        dial(port)
        print('connected to', port)
    except OSError as e:
        print(port, type(e).__name__)
`,
    {
      vsock: {
        ports: [
          { port: 1234, path },
          { port: 1235, path: `${path}-missing` },
        ],
      },
    },
  );
  assert.deepEqual(
    { stdout, stderr, code, heard },
    {
      stdout: 'heard ping\n1235 ConnectionResetError\n9999 ConnectionResetError\n',
      stderr: '',
      code: 0,
      heard: ['ping'],
    },
  );
});

test(
  'the host reaches a listening port of the guest through a unix socket, with megabytes each way',
  options,
  async (t) => {
    const path = join(folder(t), 'guest.sock');
    const down = randomBytes(4 << 20);
    const result = await python(
      `
l = serve(5000)
print('ready', flush=True)
c, who = l.accept()
data = drain(c)
print(len(data), digest(data), who[0])
back = bytes(reversed(data))
c.sendall(back)
c.close()
print(digest(back))
`,
      { vsock: { ports: [{ port: 5000, path, listen: true }] } },
      async () => {
        const socket = connect({ path, allowHalfOpen: true });
        socket.end(down);
        return readAll(socket);
      },
    );
    const up = Buffer.from(down).reverse();
    assert.deepEqual(result.stdout.split('\n').slice(1), [`${down.length} ${sha(down)} 2`, sha(up), '']);
    assert.equal(sha(result.host ?? Buffer.alloc(0)), sha(up));
  },
);

test(
  'vm.listen and vm.connect are Web streams: megabytes, half-close, refusal, hundreds of connections',
  options,
  async () => {
    await using vm = await start(`
def echo(c):
    data = drain(c)
    c.sendall(data)
    c.close()
l = serve(7000, 64)
s = dial(6000)
s.sendall(b'ready')
def server():
    while True:
        c, _ = l.accept()
        threading.Thread(target=echo, args=(c,)).start()
threading.Thread(target=server, daemon=True).start()
for n in range(300):
    c = dial(6001)
    c.sendall(str(n).encode())
    c.shutdown(socket.SHUT_WR)
    assert drain(c) == str(n).encode() * 2, n
    c.close()
s.sendall(b' done')
s.recv(1)
`);
    const echoes = (async () => {
      for await (const stream of vm.listen(6001)) void echoTwice(stream);
    })();
    const control = await first(vm.listen(6000));
    assert.throws(() => vm.listen(6001), { code: 'ERR_VSOCK_PORT_TAKEN' });
    const reader = control.readable.getReader();
    assert.equal(String(Buffer.from((await reader.read()).value ?? [])), 'ready');
    await assert.rejects(vm.connect(7001), { code: 'ERR_VSOCK_REFUSED' });

    const sent = randomBytes(3 << 20);
    const big = await vm.connect(7000);
    const [, received] = await Promise.all([write(big, sent), bytesOf(big)]);
    assert.equal(sha(received), sha(sent));

    for (let round = 0; round < 10; round++) {
      await Promise.all(
        Array.from({ length: 20 }, async (_, index) => {
          const stream = await vm.connect(7000);
          await write(stream, Buffer.from(`${round}.${index}`));
          assert.equal(String(await bytesOf(stream)), `${round}.${index}`);
        }),
      );
    }
    assert.equal(String(Buffer.from((await reader.read()).value ?? [])), ' done');
    await control.writable.close();
    const { code } = await vm.exited;
    assert.equal(code, 0, await vm.stderr.text());
    await echoes;
  },
);

async function echoTwice(stream: VsockStream): Promise<void> {
  const bytes = await bytesOf(stream);
  await write(stream, Buffer.concat([bytes, bytes]));
}

async function write(stream: VsockStream, bytes: Uint8Array): Promise<void> {
  const writer = stream.writable.getWriter();
  await writer.write(bytes);
  await writer.close();
}

async function bytesOf(stream: VsockStream): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of stream.readable) parts.push(part);
  return Buffer.concat(parts);
}

async function first<T>(items: AsyncIterable<T>): Promise<T> {
  for await (const item of items) return item;
  throw new Error('Cannot take the first one: there is none');
}

function start(script: string, more: Partial<MicroVmOptions> = {}): Promise<MicroVm> {
  const command = ['python3', '-c', HELPERS + script];
  return MicroVm.start({ root: '/', readOnly: true, memoryMiB: 256, timeoutMs: 240_000, command, ...more });
}

/** Runs a script; `once` is called when it prints its first line. */
async function python(script: string, more: Partial<MicroVmOptions>, once?: () => Promise<Buffer>) {
  await using vm = await start(script, more);
  vm.stdin.end();
  let stdout = '';
  let host: Promise<Buffer> | undefined;
  const errors = vm.stderr.text();
  for await (const chunk of vm.stdout) {
    stdout += Buffer.from(chunk).toString();
    host ??= once?.();
  }
  const { code } = await vm.exited;
  return { stdout, stderr: await errors, code, host: await host };
}

async function readAll(socket: Socket): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of socket) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

function sha(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'krun-vsock-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}
