import { compareWithHost } from './beside.ts';

const PYTHON = `
import hashlib, json, re, math, random, struct, zlib, base64, decimal, fractions, statistics
print(2 ** 521 - 1, pow(3, 2 ** 64, 2 ** 127 - 1), math.factorial(120) // 7 ** 40, -7 // 2, -7 % 3)
r = random.Random(42)
for _ in range(60):
    x, y = r.uniform(-1e10, 1e10), r.gauss(0, 1e-5)
    print(repr(x), repr(y), repr(x * y), repr(x / y), '%.17g %e' % (x - y, y), round(x, 3), math.fmod(x, 7.25), x.hex())
for f in (math.sin, math.exp, math.atan, math.tanh, math.erf, math.cbrt):
    print(f.__name__, [f(v / 7) for v in range(-14, 15)])
print([math.gamma(v / 3) for v in range(1, 20)], math.fsum([0.1] * 10), statistics.stdev([1.5, 2.5, 4.75]))
for v in (5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 0.1, 1e22, 1e23, -0.0, float('inf'), float('nan')):
    print(repr(v), '%a' % 0 if v != v else v.hex(), float(repr(v)) == v)
print([int(v) for v in (1e18, -1e18, 2.5, -2.5)], [round(v / 2) for v in range(-5, 6)], 7.0 // -2.0, divmod(-7.5, 2))
data = bytes(r.randrange(256) for _ in range(5000))
for name in ('md5', 'sha1', 'sha224', 'sha256', 'sha384', 'sha512', 'blake2b', 'blake2s', 'sha3_256'):
    print(name, hashlib.new(name, data).hexdigest())
print(zlib.crc32(data), zlib.adler32(data), hashlib.sha256(zlib.compress(data * 3, 9)).hexdigest(), base64.b85encode(data[:50]))
print(hashlib.pbkdf2_hmac('sha256', b'password', b'salt', 50).hex())
value = {'a': [1, 2.5, None, True, 'žluť \\U0001f427'], 'b': {'c': -1e-7}}
text = json.dumps(value, sort_keys=True)
print(text, json.loads(text) == value)
print(re.sub(r'(\\w+)@(\\w+)\\.(com|org)', r'\\2<\\1>\\3', 'ann@site.com, bob@host.org; x@y.net'), re.findall(r'(?i)\\b[a-f]+\\d{2,}(?=x)', 'ab12x Cd345x e6x'))
print(struct.pack('<dfqHb', 1 / 3, 1 / 3, -5, 65535, -1).hex(), struct.unpack('>e', b'\\x35\\x55'))
print(decimal.Decimal(2).sqrt(), decimal.Decimal(1) / 7, fractions.Fraction(355, 113) ** 3)
print(sorted('The quick brown fox'.split(), key=str.lower), 'ß'.upper(), 'İ'.lower(), [hash(v) for v in (1, 2.5, 2 ** 70)])
def sieve(n):
    a = bytearray([1]) * n
    for i in range(2, int(n ** .5) + 1):
        if a[i]: a[i * i::i] = bytes(len(range(i * i, n, i)))
    return sum(a) - 2
print(sieve(200000))
class Node:
    def __init__(self, depth): self.children = [Node(depth - 1) for _ in range(3)] if depth else []
    def __len__(self): return 1 + sum(map(len, self.children))
print(len(Node(6)))
try: [][1]
except IndexError as e: print(type(e).__name__, e)
`;

const PERL = `
use strict; use warnings; use Digest::SHA qw(sha256_hex sha512_base64); use Digest::MD5 qw(md5_hex); use List::Util qw(sum reduce shuffle);
my @n = map { $_ ** 1.5 / 7 } 1 .. 40;
printf "%.17g %g %e\\n", $_, $_, -$_ for @n;
print 1e15 + 0.3, " ", 2 ** 53, " ", 9007199254740993, " ", 1 / 3, " ", int(-7 / 2), " ", -7 % 3, " ", 1e300 * 1e10, "\\n";
print join(",", map { sprintf "%.12f", sin $_ } 0 .. 20), " ", atan2(1, -1), " ", sqrt(2), " ", exp(1), " ", log(10), "\\n";
my $text = join " ", map { "word$_" x ($_ % 5) } 1 .. 2000;
print sha256_hex($text), " ", md5_hex($text), " ", sha512_base64($text), "\\n";
my %count; $count{length $_}++ for split / /, $text;
print join(" ", map { "$_=$count{$_}" } sort { $a <=> $b } keys %count), "\\n";
(my $copy = $text) =~ s/(\\w)(\\d+)\\b/uc($1) . ($2 * 2)/ge;
print sha256_hex($copy), " ", scalar(() = $copy =~ /D[0-9]{3}/g), "\\n";
print join("|", unpack("A3 n N q< d", pack("A3 n N q< d", "abc", 513, 1 << 31, -5, 0.1))), "\\n";
print reduce { $a * $b } 1 .. 20; print "\\n";
print join(" ", sort { $b <=> $a } map { ($_ * 7919) % 1009 } 1 .. 50), "\\n";
print join(",", "caf\\x{e9} \\x{1f427}" =~ /(\\w+)/g) eq "caf\\x{e9}" ? "utf8\\n" : "no\\n";
`;

const C_PROGRAM = `
#include <complex.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
static jmp_buf back;
static void fault(int s) { siglongjmp(back, s); }
static int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
static void *add(void *p) { for (int i = 0; i < 20000; i++) __atomic_fetch_add((long *)p, 1, __ATOMIC_SEQ_CST); return 0; }
int main(void) {
  long double l = 1; float f = 1; double d = 1;
  for (int i = 1; i < 30; i++) { l = l * i / 3.7L + 1; f = f * i / 3.7f + 1; d = fma(d, i / 3.7, 1); }
  printf("%.21Lg %.9g %.17g %La\\n", l, f, d, l);
  printf("%.21Lg %.21Lg %.21Lg\\n", sinl(l), expl(1), powl(2, 0.5L));
  complex double z = cexp(1 + 2 * I); printf("%.17g %.17g\\n", creal(z), cimag(z));
  __int128 big = 1; for (int i = 1; i < 34; i++) big = big * i % (((__int128)1 << 100) - 3);
  printf("%016llx%016llx\\n", (unsigned long long)(big >> 64), (unsigned long long)big);
  uint64_t x = 88172645463325252ull; int v[1000]; for (int i = 0; i < 1000; i++) { x ^= x << 13; x ^= x >> 7; x ^= x << 17; v[i] = x >> 40; }
  qsort(v, 1000, sizeof *v, compare); printf("%d %d %d %d\\n", v[0], v[499], v[999], __builtin_popcountll(x));
  char text[4000]; for (int i = 0; i < 3999; i++) text[i] = 'a' + i % 26; text[3999] = 0;
  printf("%zu %ld %ld %d\\n", strlen(text), strstr(text, "zabc") - text, (char *)memchr(text, 'q', 99) - text, strcmp(text, text + 26));
  volatile int zero = 0; volatile char *none = 0;
  signal(SIGFPE, fault); signal(SIGSEGV, fault); signal(SIGILL, fault);
  int s = sigsetjmp(back, 1); if (s == 0) printf("%d\\n", 1 / zero); else printf("caught %d\\n", s);
  s = sigsetjmp(back, 1); if (s == 0) *none = 1; else printf("caught %d\\n", s);
  s = sigsetjmp(back, 1); if (s == 0) __builtin_trap(); else printf("caught %d\\n", s);
  long total = 0; pthread_t t[4]; for (int i = 0; i < 4; i++) pthread_create(&t[i], 0, add, &total);
  for (int i = 0; i < 4; i++) pthread_join(t[i], 0);
  printf("%ld\\n", total); return 42;
}
`;

await compareWithHost([
  {
    title: 'python3 computes, hashes, formats and matches as on the host',
    needs: ['python3'],
    script: `cat >p.py <<'EOF'\n${PYTHON}\nEOF\npython3 p.py`,
  },
  {
    title: 'perl computes, hashes and matches as on the host',
    needs: ['perl'],
    script: `cat >p.pl <<'EOF'\n${PERL}\nEOF\nperl p.pl`,
  },
  {
    title: 'gcc compiles to the same code, which runs as on the host',
    needs: ['gcc'],
    script: `cat >p.c <<'EOF'\n${C_PROGRAM}\nEOF\ngcc -O2 -S -o - p.c | sha256sum && gcc -O2 -o p p.c -lm -lpthread && sha256sum <p && ./p`,
    code: 42,
  },
  {
    title: 'awk, sed, sort and bc agree with the host',
    needs: ['awk', 'sed', 'sort', 'bc'],
    script: `awk 'BEGIN { srand(7); for (i = 0; i < 2000; i++) printf "%d %.6f %s\\n", (i * 7919) % 10007, sin(i) * exp(i / 500), sprintf("%x", i) }' >list
sha256sum <list; sort -n list | sha256sum; sort -k2g list | tail -3; sed -E 's/([0-9]+) (-?[0-9.]+)/\\2 \\1/' list | sort -u | sha256sum; cut -d' ' -f1 list | sort -n | uniq | wc -l
echo 'scale=200; 4*a(1); e(1); 2^300' | bc -l`,
  },
]);
