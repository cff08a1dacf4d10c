import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { type TestContext, test } from 'node:test';
import { resolveConfig } from '../../config/resolve.ts';
import { readAddresses, readQuestion, refusal } from './dns-message.ts';
import { DnsService } from './dns-service.ts';
import { EgressPolicy } from './egress-policy.ts';

/** A query as a resolver library sends it. */
function query(name: string, { id = 0x1234, type = 1 } = {}): Buffer {
  const labels = name.split('.').map((label) => Buffer.concat([Buffer.of(label.length), Buffer.from(label)]));
  const head = Buffer.from([id >> 8, id & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  return Buffer.concat([head, ...labels, Buffer.from([0, 0, type, 0, 1])]);
}

/** The answer to it with one address. */
function answerTo(asked: Buffer, address: readonly number[], ttl = 60): Buffer {
  const head = Buffer.from(asked);
  head.writeUInt16BE(0x8180, 2);
  head.writeUInt16BE(1, 6);
  const type = address.length === 4 ? 1 : 28;
  return Buffer.concat([head, Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, ttl, 0, address.length, ...address])]);
}

async function server(
  t: TestContext,
  onQuery: (asked: Buffer, reply: (answer: Buffer) => void, socket: Socket) => void,
) {
  const socket = createSocket('udp4');
  socket.on('message', (asked, { port, address }) =>
    onQuery(asked, (answer) => socket.send(answer, port, address), socket),
  );
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  t.after(() => socket.close());
  return { address: '127.0.0.1', port: socket.address().port };
}

function policyOf(allow: string[]): EgressPolicy {
  const { vsock } = resolveConfig({ root: '/r', command: ['x'], network: { allow } });
  assert.ok(vsock);
  return new EgressPolicy(vsock.egress, () => 0);
}

const ask = (dns: DnsService, message: Uint8Array): Promise<Uint8Array> =>
  new Promise((resolve) => dns.query(message, resolve));

const rcode = (answer: Uint8Array): number => (answer[3] ?? 0) & 15;

test('an allowed name is answered by the server, and its address is open from then on', async (t) => {
  const policy = policyOf(['api.example']);
  const dns = new DnsService(policy, () => [at]);
  const at = await server(t, (asked, reply) => reply(answerTo(asked, [203, 0, 114, 7])));
  assert.ok(!policy.allows('203.0.114.7', 80));
  const answer = await ask(dns, query('API.example'));
  assert.deepEqual(
    readAddresses(answer).map(({ ip }) => [...ip]),
    [[203, 0, 114, 7]],
  );
  assert.ok(policy.allows('203.0.114.7', 80));
});

test('other names are refused without a word to any server', async (t) => {
  let asked = 0;
  const at = await server(t, () => {
    asked += 1;
  });
  const dns = new DnsService(policyOf(['api.example']), () => [at]);
  const message = query('secret-data.evil.example', { id: 7 });
  const answer = await ask(dns, message);
  assert.deepEqual([answer[0], answer[1], rcode(answer), asked], [0, 7, 5, 0]);
  assert.deepEqual(readQuestion(answer), readQuestion(message));
  assert.equal(rcode(await ask(dns, Buffer.concat([query('api.example').subarray(0, 15)]))), 5);
});

test('answers with another number or question do not count', async (t) => {
  const policy = policyOf(['api.example']);
  const at = await server(t, (asked, reply) => {
    const other = Buffer.from(asked);
    other[0] = 0xff;
    reply(answerTo(other, [203, 0, 114, 66]));
    reply(answerTo(query('bpi.example'), [203, 0, 114, 67]));
    reply(asked); // a query is no answer
    reply(answerTo(asked, [203, 0, 114, 7]));
  });
  const dns = new DnsService(policy, () => [at]);
  assert.deepEqual([...(readAddresses(await ask(dns, query('api.example')))[0]?.ip ?? [])], [203, 0, 114, 7]);
  assert.ok(!policy.allows('203.0.114.66', 80) && !policy.allows('203.0.114.67', 80));
});

test('a server that is not there is passed over, and none left is a server failure', async (t) => {
  const closed = await server(t, () => {});
  const dead = { address: '127.0.0.1', port: 1 };
  const at = await server(t, (asked, reply) => reply(answerTo(asked, [203, 0, 114, 7])));
  const dns = new DnsService(policyOf(['api.example']), () => [dead, at]);
  assert.equal(rcode(await ask(dns, query('api.example'))), 0);
  assert.equal(rcode(await ask(new DnsService(policyOf(['api.example']), () => [dead]), query('api.example'))), 2);
  // Closing ends what waits, and nobody is called back.
  const waiting = new DnsService(policyOf(['api.example']), () => [closed]);
  waiting.query(query('api.example'), () => assert.fail('called after close'));
  waiting.close();
});

test('names with dots or control bytes inside of labels are no names', () => {
  const bent = query('api.example');
  bent[13] = 0x2e;
  assert.equal(readQuestion(bent), undefined);
  assert.equal(readQuestion(Buffer.concat([query('a').subarray(0, 12), Buffer.of(0xc0, 12, 0, 1, 0, 1)])), undefined);
});

test('messages of random bytes are read without failing', () => {
  let state = 1;
  const next = (): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return state >>> 24;
  };
  let questions = 0;
  for (let round = 0; round < 20_000; round++) {
    const message = answerTo(query('api.example'), [1, 2, 3, 4]);
    for (let hits = next() % 6; hits > 0; hits--) message[next() % message.length] = next();
    const cut = message.subarray(0, next() % 3 === 0 ? next() % message.length : message.length);
    questions += Number(readQuestion(cut) !== undefined);
    assert.ok(readAddresses(cut).every(({ ip }) => ip.length === 4 || ip.length === 16));
    if (cut.length >= 12) assert.ok(refusal(cut, 5).length >= 12);
  }
  assert.ok(questions > 1000);
});
