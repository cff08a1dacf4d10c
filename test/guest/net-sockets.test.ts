import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { type InterfaceOptions, MicroVm } from 'krun';
import { type Result, runGuest } from '../boot/guest.ts';
import { capiProgram, needs } from './net-fixtures.ts';
import { calls, DatagramPeer, PEER } from './net-peer.ts';

const shell = (script: string): readonly string[] => ['/bin/sh', '-ec', script];
const folder = mkdtempSync(join(tmpdir(), 'krun-net-'));
after(() => rmSync(folder, { recursive: true }));

function needsKoffi(...programs: string[]) {
  const { skip, timeout } = needs('python3', ...programs);
  return { skip: skip || (calls === null && 'no koffi here'), timeout };
}

/** One ping through a raw socket, and UDP datagrams of growing size to an echo service. */
const PING_AND_ECHO = `import socket, struct
def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total > 0xffff: total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
ping = struct.pack("!BBHHH", 8, 0, 0, 7, 1) + b"ping" * 10
ping = ping[:2] + struct.pack("!H", checksum(ping)) + ping[4:]
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
raw.settimeout(30); raw.sendto(ping, ("${PEER.ip}", 0))
while True:
    answer = raw.recv(2000)[20:]
    if answer[0] == 0: break
print("ping", answer[8:] == ping[8:])
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.settimeout(30); udp.connect(("${PEER.ip}", 7))
same = 0
for number in range(300):
    data = b"%06d" % number + bytes(number * 4)
    udp.send(data)
    same += udp.recv(2000) == data
print("echoes", same)`;

test(
  'a datagram peer is greeted, gives an address by DHCP, and answers; junk between does no harm',
  needsKoffi(),
  async () => {
    const peer = new DatagramPeer();
    const junk = setInterval(() => {
      for (const length of [0, 1, 13, 60, 9000]) peer.send(Buffer.alloc(length, 0xff));
    }, 5);
    const { stdout, stderr, code, consoleTail } = await runGuest({
      command: shell(`cat /sys/class/net/eth0/address; exec python3 -c '${PING_AND_ECHO}'`),
      network: { interfaces: [{ type: 'unixgram', path: peer.path, vfkit: true }] },
    });
    clearInterval(junk);
    peer.close();
    assert.equal(code, 0, stderr + consoleTail);
    assert.equal(stdout, '5a:94:ef:e4:0c:ee\nping True\nechoes 300\n');
    assert.equal(peer.heard.greeting, 'VFKT');
    assert.deepEqual([...peer.heard.guestMacs], ['5a94efe40cee']);
  },
);

for (const [name, call, configure] of [
  ['krun_add_net_unixgram', 'ctx, PATH, -1, MAC, 0, k.NET_FLAG_VFKIT | k.NET_FLAG_DHCP_CLIENT', ''],
  ['krun_set_gvproxy_path', 'ctx, PATH', `ip link set eth0 up; ip addr add ${PEER.guestIp}/24 dev eth0;`],
] as const) {
  test(`${name} speaks to a datagram peer in vfkit mode`, needsKoffi('ip'), async () => {
    const peer = new DatagramPeer();
    const program = join(folder, `${name}.mjs`);
    const calls = ['k.krun_set_net_mac(ctx, MAC)', `k.${name}(${call.replace('PATH', `'${peer.path}'`)})`];
    writeFileSync(program, capiProgram(calls, `${configure} exec python3 -c '${PING_AND_ECHO}'`));
    const vmm = spawn(process.execPath, [program], { stdio: ['ignore', 'pipe', 'pipe'] });
    peer.expect(vmm.pid);
    const [stdout, stderr] = await Promise.all([text(vmm.stdout), text(vmm.stderr)]);
    peer.close();
    assert.equal(stdout, 'ping True\nechoes 300\n', stderr);
    assert.deepEqual([peer.heard.greeting, ...peer.heard.guestMacs], ['VFKT', '020000000007']);
  });
}

test('a datagram peer that is gone in the middle leaves the guest alive', needsKoffi(), async () => {
  const peer = new DatagramPeer();
  const lines: string[] = [];
  await using vm = await MicroVm.start({
    root: '/',
    readOnly: true,
    memoryMiB: 256,
    timeoutMs: 120_000,
    command: shell(`read go; python3 -c 'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for n in range(2000): s.sendto(b"x" * 1000, ("${PEER.ip}", 9))'; cat /sys/class/net/eth0/carrier; echo alive`),
    network: { interfaces: [{ type: 'unixgram', path: peer.path, vfkit: true }] },
    log: (level, line) => level === 'error' && lines.push(line),
  });
  const output = vm.stdout.text();
  while (peer.heard.frames < 3) await new Promise((resolve) => setTimeout(resolve, 50)); // its DHCP is done
  peer.close();
  await vm.stdin.write('go\n');
  vm.stdin.end();
  assert.equal((await vm.exited).code, 0);
  assert.equal(await output, '0\nalive\n');
  assert.equal(lines.filter((line) => /eth0.*ERR_NET_LINK_DOWN/.test(line)).length, 1, lines.join('\n'));
});

/** Two ends of an Ethernet cable: what one stream says is what the other hears. */
async function cable(name: string): Promise<{ path: string; close(): void }> {
  const path = join(folder, name);
  const ends: Socket[] = [];
  const server = createServer((socket) => {
    ends.push(socket.on('error', () => {}));
    const [first, second] = ends;
    if (second === undefined) first?.pause();
    else first?.pipe(second).pipe(first);
  }).listen(path);
  await once(server, 'listening');
  const close = (): void => {
    server.close();
    for (const end of ends) end.destroy();
  };
  return { path, close };
}

const SEND = `import hashlib, random, socket, time
data = random.Random(4).randbytes(2 << 20)
for attempt in range(100):
    try: peer = socket.create_connection(("10.8.0.2", 9), timeout=5); break
    except OSError: time.sleep(0.2)
peer.settimeout(60); peer.sendall(data); peer.shutdown(socket.SHUT_WR)
print(hashlib.sha256(data).hexdigest() == peer.makefile().read())`;
const RECEIVE = `import hashlib, socket
server = socket.create_server(("", 9)); peer, _ = server.accept()
digest = hashlib.sha256()
while chunk := peer.recv(65536): digest.update(chunk)
peer.sendall(digest.hexdigest().encode())`;

for (const [size, mtu, offloads] of [
  ['short', 1500, 'none'],
  ['long', 60000, ['guest_csum', 'guest_tso4']],
] as const) {
  test(`two guests on one stream cable speak TCP in ${size} frames`, needs('python3', 'ip'), async () => {
    const { path, close } = await cable(size);
    const side = (address: string, program: string): Promise<Result> =>
      runGuest({
        command: shell(
          `ip link set eth0 mtu ${mtu} up; ip addr add ${address}/24 dev eth0; exec python3 -c '${program}'`,
        ),
        network: { interfaces: [{ type: 'unixstream', path, offloads }] },
      });
    const [sender, receiver] = await Promise.all([side('10.8.0.1', SEND), side('10.8.0.2', RECEIVE)]);
    close();
    assert.deepEqual([sender.code, receiver.code], [0, 0], sender.stderr + receiver.stderr);
    assert.equal(sender.stdout, 'True\n');
  });
}

test('interfaces appear in order with their MAC addresses, and only eth0 is configured', needsKoffi('ip'), async () => {
  const peer = new DatagramPeer();
  const { path, close } = await cable('several');
  const mac = (n: number): string => `02:00:00:00:00:0${n}`;
  const interfaces: InterfaceOptions[] = [
    { type: 'unixgram', path: peer.path, vfkit: true, mac: mac(1) },
    { type: 'unixstream', path, mac: mac(2) },
    { type: 'unixstream', path, mac: mac(3) },
  ];
  const { stdout, code } = await runGuest({
    command: shell(`cat /sys/class/net/eth[0-9]/address; ip -4 -o addr show scope global | awk '{ print $2, $4 }'
      ip link set eth1 up; ip link set eth2 up; python3 -c '
import socket
one, two = [socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0x8888) for _ in range(2)]
one.bind(("eth1", 0x88b5)); two.bind(("eth2", 0x88b5)); two.settimeout(10)
frame = bytes.fromhex("020000000003020000000002" + "88b5") + b"over the cable" * 4
one.send(frame); print(two.recv(2000) == frame)'`),
    network: { interfaces },
  });
  peer.close();
  close();
  assert.equal(code, 0);
  assert.equal(stdout, `${[1, 2, 3].map(mac).join('\n')}\neth0 ${PEER.guestIp}/24\nTrue\n`);
});

test('a stream peer that sends garbage takes the link down, not the guest', needs('python3'), async () => {
  const path = join(folder, 'garbage');
  const server = createServer((socket) => {
    socket.on('error', () => {});
    // A sound frame, half of one, and then what is no length.
    const frame = Buffer.concat([Buffer.of(0, 0, 0, 60), Buffer.alloc(60, 0xff)]);
    socket.on('data', () => socket.write(Buffer.concat([frame, frame.subarray(0, 30), Buffer.alloc(40, 0xee)])));
  }).listen(path);
  const lines: string[] = [];
  const { code, stdout } = await runGuest({
    command: shell('ip link set eth0 up; while test "$(cat /sys/class/net/eth0/carrier)" = 1; do :; done; echo alive'),
    network: { interfaces: [{ type: 'unixstream', path }] },
    log: (level, line) => level === 'error' && lines.push(line),
  });
  server.close();
  assert.deepEqual([code, stdout], [0, 'alive\n']);
  assert.ok(
    lines.some((line) => /announced a frame longer.*ERR_NET_LINK_DOWN/.test(line)),
    lines.join('\n'),
  );
});
