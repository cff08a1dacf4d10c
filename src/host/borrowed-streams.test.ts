import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const skip =
  spawnSync('python3', ['--version']).error === undefined ? false : 'no python3, which makes the descriptors';

/** Hands out a pipe and a socket, answers on them, and tells whether they block as before. */
const OWNER = `
import fcntl, json, os, socket, subprocess, sys
there, back = os.pipe(), os.pipe()
ours, theirs = socket.socketpair()
given = [there[0], back[1], theirs.fileno()]
flags = lambda: [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in given]
before = flags()
child = subprocess.Popen([*sys.argv[1:], *map(str, given)], pass_fds=given, stdout=subprocess.PIPE)
os.write(there[1], b"through the pipe")
ours.send(b"through the socket")
pipe, sock = os.read(back[0], 100), ours.recv(100)
said = child.communicate()[0]
print(json.dumps({"same": before == flags(), "pipe": pipe.decode(), "socket": sock.decode(), "said": said.decode(), "code": child.returncode}))
`;

/** Echoes the pipe and the socket, and lets go of them. */
const BORROWER = `
import { fstatSync } from 'node:fs';
import { borrowInput, borrowOutput, copyFrom } from ${JSON.stringify(new URL('./streams.js', import.meta.url).href)};
const [input, output, socket] = process.argv.slice(2).map(Number);
const echo = (from, to) => new Promise((resolve) => {
  const [reader, writer] = [borrowInput(from), borrowOutput(to)];
  const sink = { write: (chunk) => new Promise((written) => writer.stream.write(chunk, written)).then(() => {
    stop(); reader.release(); writer.release(); resolve();
  }), end() {} };
  const stop = copyFrom(reader.stream, sink);
});
await Promise.all([echo(input, output), echo(socket, socket)]);
for (const fd of [input, output, socket]) fstatSync(fd);
console.log('open');
`;

test('a pipe and a socket that were lent are open and block as before, and nothing holds the process', { skip }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'krun-borrow-'));
  try {
    const [owner, borrower] = [join(folder, 'owner.py'), join(folder, 'borrower.mjs')];
    writeFileSync(owner, OWNER);
    writeFileSync(borrower, BORROWER);
    const outcome = execFileSync('python3', [owner, process.execPath, borrower], { encoding: 'utf8', timeout: 20_000 });
    assert.deepEqual(JSON.parse(outcome), {
      same: true,
      pipe: 'through the pipe',
      socket: 'through the socket',
      said: 'open\n',
      code: 0,
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
