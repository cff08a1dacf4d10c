import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIp } from '../../base/ip-address.ts';
import { resolveConfig } from '../../config/resolve.ts';
import { EgressPolicy } from './egress-policy.ts';

/** A policy from rules as a user writes them. */
function policyOf(rules: { allow?: string[]; deny?: string[] }, nowMs: () => number = () => 0): EgressPolicy {
  const { vsock } = resolveConfig({ root: '/r', command: ['x'], network: rules });
  assert.ok(vsock);
  return new EgressPolicy(vsock.egress, nowMs);
}

const learn = (policy: EgressPolicy, name: string, address: string, ttl = 60): void => {
  const ip = parseIp(address);
  assert.ok(ip);
  policy.learn(name, ip, ttl);
};

test('without rules everything is allowed, and with an empty allow list nothing', () => {
  assert.ok(policyOf({}).isOpen);
  assert.ok(policyOf({}).allows('127.0.0.1', 1));
  assert.ok(!policyOf({ allow: [] }).allows('192.0.2.1', 80));
});

test('addresses, networks and ports', () => {
  const policy = policyOf({
    allow: ['192.0.2.1:80', '198.51.100.0/24:8000-8010', '2001:db8::/32', '[2001:db9::1]:443', ':22'],
  });
  const allowed: [string, number][] = [
    ['192.0.2.1', 80],
    ['198.51.100.255', 8010],
    ['2001:db8:1::5', 9],
    ['2001:db9::1', 443],
    ['203.0.113.9', 22],
  ];
  const refused: [string, number][] = [
    ['192.0.2.1', 81],
    ['192.0.2.2', 80],
    ['198.51.101.1', 8000],
    ['198.51.100.1', 8011],
    ['2001:db9::1', 80],
    ['no address', 22],
  ];
  for (const [address, port] of allowed) assert.ok(policy.allows(address, port), `${address} ${port}`);
  for (const [address, port] of refused) assert.ok(!policy.allows(address, port), `${address} ${port}`);
});

test('deny wins over allow', () => {
  const policy = policyOf({ allow: ['*'], deny: ['10.0.0.0/8', ':25'] });
  assert.ok(policy.allows('192.0.2.1', 80));
  assert.ok(!policy.allows('10.1.2.3', 80));
  assert.ok(!policy.allows('192.0.2.1', 25));
});

test('an address in other clothes is the same address', () => {
  const policy = policyOf({ deny: ['127.0.0.0/8', '10.0.0.0/8', '::1'] });
  for (const address of [
    '0.0.0.0',
    '::',
    '::ffff:127.0.0.1',
    '::ffff:0.0.0.0',
    '::ffff:a00:1',
    '64:ff9b::10.0.0.1',
    '0:0:0:0:0:0:0:1',
  ]) {
    assert.ok(!policy.allows(address, 80), address);
  }
  assert.ok(policyOf({ allow: ['::ffff:192.0.2.0/120'] }).allows('192.0.2.9', 80));
});

test('a name covers what our resolver said, for its ports, and not for ever', () => {
  let now = 0;
  const policy = policyOf({ allow: ['example.com:443', '*.example.org'] }, () => now);
  assert.ok(policy.hasNames);
  assert.ok(!policy.allows('203.0.114.7', 443));
  learn(policy, 'example.com', '203.0.114.7', 30);
  learn(policy, 'a.b.example.org', '2600::7', 30);
  learn(policy, 'other.com', '203.0.114.8', 30);
  assert.ok(policy.allows('203.0.114.7', 443) && !policy.allows('203.0.114.7', 80));
  assert.ok(policy.allows('2600::7', 1));
  assert.ok(!policy.allows('203.0.114.8', 443));
  now += 9 * 60_000;
  assert.ok(policy.allows('203.0.114.7', 443)); // a program may keep an address longer than its record lives
  now += 2 * 60_000;
  assert.ok(!policy.allows('203.0.114.7', 443));
});

test('a name never opens this host or this site, and a rule about the network does', () => {
  const policy = policyOf({ allow: ['evil.example'] });
  for (const address of [
    '127.0.0.1',
    '10.0.0.1',
    '192.168.1.1',
    '169.254.169.254',
    '100.64.0.1',
    '::1',
    'fd00::1',
    'fe80::1',
    '::ffff:10.0.0.1',
    '224.0.0.1',
  ]) {
    learn(policy, 'evil.example', address);
    assert.ok(!policy.allows(address, 80), address);
  }
  const explicit = policyOf({ allow: ['evil.example', '10.0.0.0/8'] });
  learn(explicit, 'evil.example', '10.0.0.1');
  assert.ok(explicit.allows('10.0.0.1', 80));
});

test('a denied name closes the addresses it is known to have, private ones too', () => {
  const policy = policyOf({ deny: ['tracker.example'] });
  learn(policy, 'tracker.example', '10.9.9.9');
  assert.ok(!policy.allows('10.9.9.9', 80));
  assert.ok(policy.allows('10.9.9.8', 80));
});

test('which names may be asked for', () => {
  const listed = policyOf({ allow: ['example.com:443', '*.example.org', '192.0.2.1'], deny: ['bad.example.org'] });
  const may = [
    'example.com',
    'a.example.org',
    'a.b.example.org',
    'example.org',
    'bad.example.org',
    'xexample.com',
    'sub.example.com',
  ];
  assert.deepEqual(
    may.map((name) => listed.allowsName(name)),
    [true, true, true, false, false, false, false],
  );
  assert.ok(policyOf({ deny: ['bad.example'] }).allowsName('good.example'));
  assert.ok(!policyOf({ deny: ['bad.example'] }).allowsName('bad.example'));
});

test('what is remembered has a bound', () => {
  const policy = policyOf({ allow: ['example.com'] });
  for (let n = 0; n < 10_000; n++) learn(policy, 'example.com', `203.${n >> 16}.${(n >> 8) & 255}.${n & 255}`);
  assert.ok(!policy.allows('203.0.0.1', 80));
  assert.ok(policy.allows('203.0.39.15', 80));
});

test('rules that make no sense are refused by their place', () => {
  for (const rule of [
    '',
    ' ',
    'a b',
    '10.0.0.0/33',
    '1.2.3',
    '1.2.3.4.5',
    '256.1.1.1',
    'x:0-99999',
    'x:9-3',
    '::1/129',
    'http://x',
    'x/y',
    '[x]:1',
    'a..b',
    '*.*.x',
  ]) {
    assert.throws(() => policyOf({ allow: [rule] }), { code: 'ERR_INVALID_OPTION' }, rule);
  }
});
