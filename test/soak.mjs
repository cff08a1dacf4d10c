// A long run of mixed programs in one guest, by hand. usage: node test/soak.mjs [minutes] [program...]
// Each round runs every program with a new seed, in the guest and on the host, and compares what they print. Mismatches go
// to stdout with the command that shows them again; a line per round tells the time of each program and the memory in use.
// KRUN_SOFT_TIER chooses how the CPU runs code (here: mixed). Ends with code 1 when anything differed.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';

process.env.KRUN_SOFT_TIER ??= 'mixed';
const { MicroVm } = await import('../dist/index.js');

/** Shell scripts with the seed in $1, in an empty directory; all that they print must depend on the seed alone. */
const PROGRAMS = {
  gcc: {
    needs: ['gcc', 'awk', 'sha256sum'],
    script: `awk -v s=$1 'BEGIN { srand(s); print "#include <stdio.h>\\nstatic unsigned long t[64];"
  for (f = 0; f < 40; f++) { printf "static unsigned long f%d(unsigned long a, double d) {\\n  unsigned long r = a; int i;\\n", f
    for (l = 0; l < 8; l++) { k = int(rand() * 6); n = int(rand() * 1000) + 3
      if (k == 0) printf "  for (i = 0; i < %d; i++) r = r * %d + t[(r + i) & 63];\\n", n % 50, n
      if (k == 1) printf "  if (r %% %d > %d) r ^= r << %d; else r -= %d;\\n", n, int(n / 2), n % 31 + 1, n
      if (k == 2) printf "  t[r & 63] += (unsigned char)r; r = (r >> %d) | (r << %d);\\n", n % 63 + 1, 64 - (n % 63 + 1)
      if (k == 3) printf "  d = d * %d.5 + (double)(r & 4095) / %d; r += (unsigned long)d & 65535; d -= (double)(long)d;\\n", n % 7, n
      if (k == 4) printf "  switch (r %% 7) { case 0: r += %d; break; case 3: r *= %d; break; case 5: r = ~r; break; default: r += r >> 3; }\\n", n, n
      if (k == 5 && f > 0) printf "  r += f%d(r, d);\\n", f - 1 }
    print "  return r;\\n}" }
  print "int main(void) {\\n  unsigned long r = 1;\\n  for (int i = 0; i < 3; i++) {"
  for (f = 0; f < 40; f += 7) printf "    r += f%d(r, 0.25);\\n", f
  print "  }\\n  printf(\\"%lx\\\\n\\", r);\\n  return 0;\\n}" }' >p.c
sed -i 's/r += f\\([0-9]*\\)(r, d);/r += t[\\1 \\& 63];/' p.c
gcc -O2 -c p.c -o p.o && sha256sum p.o && gcc -O2 p.o -o p && ./p`,
  },
  python: {
    needs: ['python3'],
    script: `python3 -S -c "
import sys, hashlib, json, random, re, struct, zlib, math
r = random.Random(int(sys.argv[1]))
a = [r.random() for _ in range(5000)]
print(math.fsum(a), sum(math.sin(x) * math.exp(-x) for x in a), sorted(a)[77])
d = {}
for i in range(15000): d[r.getrandbits(20)] = d.get(i, 0) + i
print(len(d), sum(d.values()), hash(tuple(sorted(d)[:500])))
n = pow(r.getrandbits(1500), r.getrandbits(300), r.getrandbits(1500) | 1); print(n % 1000003, len(str(n)))
t = ' '.join('w%d' % r.randrange(5000) for _ in range(5000))
print(len(re.findall(r'w(\\d)\\1', t)), hashlib.sha256(t.encode()).hexdigest(), zlib.crc32(zlib.compress(t.encode(), 9)))
print(hashlib.md5(json.dumps(json.loads(json.dumps({str(i): [x, None, i] for i, x in enumerate(a[:1000])}))).encode()).hexdigest())
print(struct.pack('<d', math.sqrt(a[5]) / 3).hex(), round(a[3], 7), '%.17g' % (a[1] ** 0.3))
" $1`,
  },
  perl: {
    needs: ['perl'],
    script: `perl -e 'use strict; my $s = shift; my $x = $s * 2654435761 % 4294967296; my (%h, @a);
for my $i (1 .. 12000) { $x = ($x * 1103515245 + 12345) % 2147483648; my $w = join("", map { chr(97 + ($x >> $_) % 26) } 3, 7, 11, 15); $h{$w}++; push @a, $w if $w =~ /^(.).*\\1$/ }
print scalar(keys %h), " ", scalar(@a), " ", join(",", (sort { $h{$b} <=> $h{$a} || $a cmp $b } keys %h)[0 .. 9]), "\\n";
my $t = join " ", @a; $t =~ s/([aeiou])(\\w)/$2$1/g; print length($t), " ", unpack("%32C*", $t), " ", sprintf("%.12f", atan2(1, $s) * sqrt($s)), "\\n"' $1`,
  },
  xz: {
    needs: ['xz', 'awk', 'sha256sum'],
    script: `awk -v s=$1 'BEGIN { srand(s); for (i = 0; i < 4000; i++) print i, int(rand() * 500), "line " i % 17, rand() }' >data
xz -9 --lzma2=preset=9,dict=8MiB -T1 -c data >data.xz && xz -dc data.xz | cmp - data && sha256sum data.xz`,
  },
  zstd: {
    needs: ['zstd', 'bzip2', 'gzip', 'awk', 'sha256sum'],
    script: `awk -v s=$1 'BEGIN { srand(s); for (i = 0; i < 5000; i++) print int(rand() * 50), "x" i % 11, rand() }' >data
for p in 'zstd -q -12 -T1' 'gzip -9n' 'bzip2 -9'; do $p -c <data >packed && \${p%% *} -dc <packed | cmp - data && sha256sum <packed; done`,
  },
  sqlite: {
    needs: ['sqlite3'],
    script: `sqlite3 db "pragma journal_mode=wal; create table t(a integer primary key, b, c); create index i on t(b);
with recursive n(v) as (select 1 union all select v + 1 from n where v < 2000) insert into t select v, (v * 48271 + $1) % 2147483647, printf('%x', v * $1) from n;
select count(*), sum(b), max(c) from t; select b % 97 k, count(*), avg(b), min(c) from t group by k order by 2 desc, 1 limit 5;
update t set b = b / 3.7 where a % 3 = 0; delete from t where a % 5 = 0; select sum(b), total(length(c)) from t;
select x.a, y.b from t x join t y on y.a = x.a + 1 where x.b < y.b order by y.b desc limit 3; pragma integrity_check;"`,
  },
  node: {
    needs: ['node'],
    script: `node -e '
let x = Number(process.argv[1]) >>> 0; const next = () => (x = (Math.imul(x, 1664525) + 1013904223) >>> 0);
const { createHash } = require("crypto"); const a = new Float64Array(10000).map(() => next() / 2 ** 32);
console.log(a.reduce((s, v) => s + Math.sqrt(v) * Math.cos(v * 7), 0), [...a].sort((p, q) => p - q)[99]);
const m = new Map(); for (let i = 0; i < 20000; i++) { const k = "k" + (next() % 3000); m.set(k, (m.get(k) ?? 0) + i); }
console.log(m.size, createHash("sha256").update(JSON.stringify([...m].sort())).digest("hex"));
let b = 1n; for (let i = 0; i < 400; i++) b = (b * BigInt(next()) + 17n) % (1n << 700n); console.log(b.toString(36).slice(0, 60));
function f(n) { return n < 2 ? n : f(n - 1) + f(n - 2); } console.log(f(19), require("zlib").deflateSync(Buffer.from(a.buffer)).length);
' $1`,
  },
  openssl: {
    needs: ['openssl', 'awk'],
    script: `awk -v s=$1 'BEGIN { srand(s); for (i = 0; i < 10000; i++) print rand() }' >data
for d in md5 sha1 sha256 sha512 sha3-256 blake2b512; do openssl dgst -$d <data; done
for c in aes-256-cbc aes-128-ctr chacha20; do openssl enc -$c -K 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f -iv 0f0e0d0c0b0a09080706050403020100 -in data 2>/dev/null | openssl dgst -sha256; done
openssl kdf -keylen 24 -kdfopt digest:SHA512 -kdfopt pass:$1 -kdfopt salt:na -kdfopt iter:100 PBKDF2`,
  },
  shell: {
    needs: ['awk', 'sort', 'bc', 'sha256sum'],
    script: `i=0; while [ $i -lt 40 ]; do echo "$((i * $1 % 1009)) $(expr $i + 1)"; i=$((i + 1)); done | sort -n | uniq -c | awk '{ s += $2 * $3 } END { print s }'
echo "scale=60; e($1 / 10000) + a(1) * 4; 2 ^ 500 % 10007" | bc -l
awk -v s=$1 'BEGIN { srand(s); for (i = 0; i < 10000; i++) print rand() }' | sort | tee sorted | sha256sum; tr 0-9 a-j <sorted | sort -r | cksum`,
  },
};

const MINUTES = Number(process.argv[2] ?? 10);
const wanted = process.argv.slice(3);
const top = mkdtempSync(join(tmpdir(), 'krun-soak-'));
const environment = {
  PATH: '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin',
  LC_ALL: 'C.UTF-8',
  TZ: 'UTC',
  PYTHONHASHSEED: '0',
  HOME: '/tmp',
};
const names = Object.keys(PROGRAMS).filter(
  (name) => (wanted.length === 0 || wanted.includes(name)) && isInstalled(name),
);
for (const name of names) writeFileSync(join(top, name), PROGRAMS[name].script);

function isInstalled(name) {
  const missing = PROGRAMS[name].needs.find(
    (program) => spawnSync('sh', ['-c', `command -v ${program}`], { env: environment }).status !== 0,
  );
  if (missing !== undefined) console.log(`${name}: left out, ${missing} is not installed`);
  return missing === undefined;
}

/** What a program prints on the host, and the seconds it takes. */
function onHost(name, seed) {
  const folder = mkdtempSync(join(top, 'host-'));
  const started = process.hrtime.bigint();
  const { stdout, status } = spawnSync('sh', [join(top, name), String(seed)], {
    cwd: folder,
    env: { ...environment, HOME: folder },
  });
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  rmSync(folder, { recursive: true });
  return { output: `${stdout}status ${status}\n`, seconds };
}

/** Rounds until the host says stop: each program's output in base64, on a line with its name, seed and time. */
const DRIVER = `mount -t tmpfs tmpfs /tmp; round=${Date.now() % 100_000}
while [ ! -e /mnt/stop ]; do round=$((round + 1))
  for p in ${names.join(' ')}; do mkdir /tmp/w; cd /tmp/w; s=$(date +%s.%N)
    { sh /mnt/$p $round 2>/tmp/errors; echo "status $?"; } >/tmp/out; e=$(date +%s.%N); cd /; rm -rf /tmp/w
    echo "$p $round $s $e $(base64 -w0 </tmp/out)"; [ -s /tmp/errors ] && echo "errors $p $round $(head -c 2000 /tmp/errors | base64 -w0)"; done
done; exit 0`;

const started = Date.now();
let failures = 0;
let round;
let times = [];
let peak = 0;
const vm = await MicroVm.start({
  root: '/',
  readOnly: true,
  memoryMiB: 1024,
  env: environment,
  volumes: [{ hostPath: top, guestPath: '/mnt', readOnly: true }],
  command: ['/bin/sh', '-c', DRIVER],
});
try {
  const timer = setTimeout(() => writeFileSync(join(top, 'stop'), ''), MINUTES * 60_000);
  const sampler = setInterval(() => (peak = Math.max(peak, process.memoryUsage().rss)), 1000);
  for await (const line of createInterface({ input: Readable.from(vm.stdout) })) handle(line);
  clearTimeout(timer);
  clearInterval(sampler);
  report();
  const { reason, code, consoleTail } = await vm.exited;
  if (reason !== 'exited' || code !== 0) {
    failures++;
    console.log(`the guest ended: ${reason} ${code}\n${consoleTail}`);
  }
} finally {
  await vm[Symbol.asyncDispose]();
}
rmSync(top, { recursive: true, force: true });
console.log(`${failures} failures in ${((Date.now() - started) / 60_000).toFixed(1)} minutes`);
process.exitCode = failures === 0 ? 0 : 1;

function handle(line) {
  const [name, seed, from, to, output] = line.split(' ');
  if (name === 'errors') {
    console.log(`stderr of ${seed} ${from}: ${Buffer.from(to, 'base64')}`);
    return;
  }
  if (!names.includes(name)) {
    console.log(`the guest says: ${line}`);
    return;
  }
  if (seed !== round) report();
  round = seed;
  const host = onHost(name, seed);
  times.push(`${name} ${(Number(to) - Number(from)).toFixed(1)}s (${host.seconds.toFixed(2)})`);
  const guest = Buffer.from(output ?? '', 'base64').toString();
  if (guest === host.output) return;
  failures++;
  console.log(`MISMATCH: ${name} with seed ${seed}\n--- host\n${host.output}--- guest\n${guest}`);
}

/** Time of each program in the guest and, in brackets, on the host; memory of this process with the VM in it. */
function report() {
  if (times.length === 0) return;
  const { rss, arrayBuffers } = process.memoryUsage();
  const mib = (bytes) => (bytes / 2 ** 20).toFixed(0);
  console.log(
    `round ${round}, minute ${((Date.now() - started) / 60_000).toFixed(1)}: ${times.join(', ')}; rss ${mib(rss)} MiB (peak ${mib(peak)}), buffers ${mib(arrayBuffers)} MiB`,
  );
  times = [];
}
