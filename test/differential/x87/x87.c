/*
 * x87: runs single x87 instructions on the processor with chosen and random operands and writes what they did.
 *
 *   x87 <seed> <count> [first opcode byte in hex, ModRM byte in hex] > vectors
 *
 * One record per case, little-endian, the fields of struct before and struct after without padding. Registers ST2..ST7
 * hold FILLER(i), so that only ST0 and ST1 are stored. Linux, 64-bit user mode.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

typedef struct __attribute__((packed)) {
  uint64_t sig;
  uint16_t se;
} ext;

/* What FRSTOR and FNSAVE use in 64-bit mode. */
typedef struct __attribute__((packed)) {
  uint16_t fcw, r0, fsw, r1, ftw, r2;
  uint32_t fip, fcs, fdp, fds;
  ext st[8]; /* ST0 first */
} image;

struct __attribute__((packed)) before {
  uint8_t op, modrm;
  uint16_t fcw, fsw;
  uint8_t ftw, flags; /* ftw: bit n = R(n) in use */
  ext st0, st1;
  uint8_t mem[10];
};

struct __attribute__((packed)) after {
  uint8_t trap; /* 0, or the vector: 6 or 16 */
  uint16_t fcw, fsw;
  uint8_t ftw, flags;
  uint16_t ax;
  uint8_t changed; /* bit n: R(n) changed and follows this struct, lowest first */
  uint8_t mem_changed; /* then the 10 bytes of memory follow */
};

static uint64_t state;
static uint64_t rnd(void) {
  uint64_t z = (state += 0x9e3779b97f4a7c15ull);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}
static unsigned below(unsigned n) { return (unsigned)((rnd() >> 32) % n); }

#define TOP_BIT (1ull << 63)
static uint64_t random_sig(void) {
  uint64_t s = rnd();
  switch (below(8)) {
    case 0: return TOP_BIT;
    case 1: return ~0ull;
    case 2: return TOP_BIT | 1;
    case 3: return TOP_BIT | (s & ~0x7ffull);           /* 53 bits */
    case 4: return TOP_BIT | (s & ~0xffffffffffull);    /* 24 bits */
    case 5: return TOP_BIT | (s & (3ull << below(62))); /* sparse */
    default: return TOP_BIT | s;
  }
}

static ext make(unsigned sign, unsigned exp, uint64_t sig) {
  ext e = {sig, (uint16_t)(sign << 15 | (exp & 0x7fff))};
  return e;
}

static ext random_ext(void) {
  unsigned s = below(2);
  uint64_t r = rnd();
  switch (below(32)) {
    case 0: return make(s, 0, 0);
    case 1: return make(s, 0x7fff, TOP_BIT);
    case 2: return make(s, 0x7fff, 3ull << 62 | (r >> below(64)));       /* QNaN */
    case 3: return make(s, 0x7fff, TOP_BIT | (((r >> 2) >> below(62)) | 1)); /* SNaN */
    case 4: return make(s, 0x7fff, r >> (1 + below(2) * 63));            /* pseudo-NaN, pseudo-infinity */
    case 5: return make(s, 1 + below(0x7ffe), r >> 1);                   /* unnormal */
    case 6: return make(s, 0, TOP_BIT | r);                              /* pseudo-denormal */
    case 7: return make(s, 0, r >> (1 + below(63)));                     /* denormal */
    case 8: return make(s, 1, random_sig());
    case 9: return make(s, 0x7ffe, random_sig());
    case 10: return make(s, 0x3fff, TOP_BIT);
    case 11: return make(s, 0x3fff + below(8), TOP_BIT | (r & 15ull << 60));  /* small integers and halves */
    case 12: return make(s, 0x3fff - 1022 - 60 + below(70), random_sig());    /* double's denormal border */
    case 13: return make(s, 0x3fff - 126 - 30 + below(40), random_sig());     /* single's */
    case 14: return make(s, 0x3fff + 1020 + below(6), random_sig());
    case 15: return make(s, 0x3fff + 125 + below(5), random_sig());
    case 16: return make(s, 0x3fff + 10 + below(56), random_sig());           /* integer ranges */
    case 17: return make(s, 0x3fff + 15 + 16 * below(4) - below(3), random_sig());
    case 18: return make(s, below(0x8000), random_sig());
    case 19: return make(s, 1 + below(130), random_sig());
    case 20: return make(s, 0x7ffe - below(130), random_sig());
    case 21: return make(s, 0x3ffe, random_sig());
    case 22: return make(s, 0x3ffe - below(70), random_sig());
    case 23: return make(s, 0x3fff + 56 + below(5), random_sig());            /* around 10^18 */
    default: return make(s, 0x3fff - 4 + below(10), random_sig());
  }
}

static ext near(ext a) {
  ext b = a;
  switch (below(6)) {
    case 0: break;
    case 1: b.sig += 1 - 2 * (int)below(2); b.sig |= TOP_BIT; break;
    case 2: b.se ^= 0x8000; break;
    case 3: b.se ^= 0x8000; b.sig ^= 1ull << below(63); break;
    case 4: b.se = (uint16_t)((b.se & 0x8000) | ((b.se - 70 + below(140)) & 0x7fff)); break;
    default: b.se = (uint16_t)((b.se & 0x8000) | ((b.se - 2 + below(5)) & 0x7fff)); b.sig = random_sig(); break;
  }
  return b;
}

static void random_memory(uint8_t *m, unsigned op, unsigned reg) {
  ext e = random_ext();
  uint64_t r = rnd();
  memcpy(m, &e, 10);
  if (below(4) == 0) { /* small or extreme integers, sparse patterns */
    r = (uint64_t)((int64_t)r >> below(64));
    memcpy(m, &r, 8);
  } else if (op == 0xd8 || op == 0xd9) {
    static const uint8_t exps[] = {0, 1, 2, 254, 255, 127, 126, 128};
    uint32_t f = (uint32_t)r;
    if (below(2)) f = (f & 0x807fffff) | (uint32_t)exps[below(8)] << 23;
    if (below(4) == 0) f &= ~0x7fffffu;
    if (below(2)) { uint32_t low = 1u << below(23); f &= ~0x7fffffu | low; }
    memcpy(m, &f, 4);
  } else if (op == 0xdc || op == 0xdd) {
    static const uint16_t exps[] = {0, 1, 2, 2046, 2047, 1023, 1022, 1024};
    if (below(2)) r = (r & 0x800fffffffffffffull) | (uint64_t)exps[below(8)] << 52;
    if (below(4) == 0) r &= ~0xfffffffffffffull;
    if (below(2)) r &= ~0xfffffffffffffull | 1ull << below(52);
    memcpy(m, &r, 8);
  } else if (op == 0xdf && reg == 4) {
    for (int i = 0; i < 9; i++) m[i] = (uint8_t)(below(10) << 4 | below(10));
    for (unsigned i = 8 - below(9); i < 9; i++) if (below(2)) m[i] = 0;
    m[9] = (uint8_t)(below(2) << 7);
  }
}

static uint8_t *code;
static sigjmp_buf escape;
static void on_signal(int sig) { siglongjmp(escape, sig); }

static void emit(const uint8_t *op, int n) {
  static const uint8_t enter[] = {0x53, 0xdd, 0x27, 0x51, 0x9d, 0x31, 0xc0}; /* push rbx; frstor [rdi]; push rcx; popfq; mov eax, 0 */
  static const uint8_t leave[] = {0xdd, 0x32, 0x9c, 0x59, 0x48, 0x89, 0x4a, 0x70, 0x48, 0x89, 0x42, 0x78, 0x5b, 0xc3};
  /* fnsave [rdx]; pushfq; pop rcx; mov [rdx+112], rcx; mov [rdx+120], rax; pop rbx; ret */
  uint8_t *p = code;
  memcpy(p, enter, 5); p += 5;
  /* xor would change flags: use mov eax, imm32 */
  static const uint8_t clear[] = {0xb8, 0, 0, 0, 0};
  memcpy(p, clear, 5); p += 5;
  memcpy(p, op, (size_t)n); p += n;
  memcpy(p, leave, sizeof leave);
}

static ext filler(unsigned i) { return make(0, 0x3fff + i, 3ull << 62 | i); }

/* Every form of D8..DF except those whose memory operand is not a number (environments, FLDCW with its own test). */
static void pick(uint8_t *op, uint8_t *modrm) {
  for (;;) {
    *op = (uint8_t)(0xd8 + below(8));
    *modrm = (uint8_t)rnd();
    unsigned reg = *modrm >> 3 & 7;
    if (*modrm < 0xc0) {
      *modrm = (uint8_t)(reg << 3 | 6); /* [rsi] */
      if (*op == 0xd9 && (reg == 4 || reg == 6)) continue;
      if (*op == 0xdd && (reg == 4 || reg == 6)) continue;
      return;
    }
    if (*op == 0xd9 && reg >= 4) return;
    if (below(4)) *modrm = (uint8_t)(0xc0 | reg << 3 | 1);
    return;
  }
}

static void prepare(struct before *b, image *in, uint8_t *mem) {
  static const uint8_t pc[] = {3, 3, 3, 0, 2, 1};
  unsigned masks = below(6) ? 0x3f : below(64);
  unsigned top = below(8), used = 0xff;
  b->fcw = (uint16_t)(masks | 0x40 | pc[below(6)] << 8 | below(4) << 10);
  unsigned sticky = below(4) ? 0 : below(64) & (below(16) ? masks : 0x3f);
  b->fsw = (uint16_t)(top << 11 | (below(16) << 8 & 0x700) | (below(2) << 14) | sticky);
  switch (below(12)) {
    case 0: used = 0; break;
    case 1: used = below(256); break;
    case 2: case 3: break;
    default: used = 3u << top; used = (used | used >> 8) & 0xff; break;
  }
  if (b->modrm >= 0xc0 && (b->modrm & 7) > 1 && below(2)) used = 0xff;
  b->ftw = (uint8_t)used;
  b->flags = (uint8_t)(rnd() & 0xd5);
  b->st0 = random_ext();
  b->st1 = below(3) ? random_ext() : near(b->st0);
  unsigned reg = b->modrm >> 3 & 7;
  if (b->op == 0xd9 && b->modrm >= 0xf0 && below(4)) { /* arguments within the ranges of the functions */
    if (b->modrm == 0xf0 || b->modrm == 0xf9) b->st0 = make(below(2), 0x3ffd - (below(2) ? 0 : below(80)), random_sig());
    if (b->modrm >= 0xfb || b->modrm == 0xf2) b->st0 = make(below(2), 0x3fff + 62 - below(below(2) ? 70 : 150), random_sig());
    if (b->modrm == 0xfd) b->st1 = make(below(2), 0x3fff + below(17), random_sig());
    if (b->modrm == 0xfc) b->st0 = make(below(2), 0x3fff + below(66) - 2, random_sig());
    if (b->modrm == 0xf1) b->st0.se &= 0x7fff;
  }
  random_memory(b->mem, b->op, reg);
  memset(in, 0, sizeof *in);
  in->fcw = b->fcw;
  in->fsw = b->fsw;
  for (unsigned i = 0; i < 8; i++) {
    if (!(used >> i & 1)) in->ftw |= (uint16_t)(3u << (2 * i));
    in->st[i] = i == 0 ? b->st0 : i == 1 ? b->st1 : filler(i);
  }
  memcpy(mem, b->mem, 10);
}

static void run(const struct before *b, image *in, uint8_t *mem) {
  struct { image fpu; uint8_t pad[4]; uint64_t flags, rax; } out;
  struct after a = {0};
  uint8_t op[2] = {b->op, b->modrm};
  emit(op, 2);
  int sig = sigsetjmp(escape, 1);
  if (sig == 0) {
    void (*go)(void *, void *, void *, uint64_t) = (void (*)(void *, void *, void *, uint64_t))(uintptr_t)code;
    go(in, mem, &out, b->flags | 0x202);
  }
  fwrite(b, sizeof *b, 1, stdout);
  a.trap = sig == SIGILL ? 6 : sig == SIGFPE ? 16 : 0;
  if (sig) {
    __asm__ volatile("fninit");
    fwrite(&a, sizeof a, 1, stdout);
    return;
  }
  unsigned before_top = b->fsw >> 11 & 7, top = out.fpu.fsw >> 11 & 7;
  a.fcw = out.fpu.fcw;
  a.fsw = out.fpu.fsw;
  a.flags = (uint8_t)(out.flags & 0xd5);
  a.ax = (uint16_t)out.rax;
  a.mem_changed = memcmp(mem, b->mem, 10) != 0;
  for (unsigned r = 0; r < 8; r++) {
    if ((out.fpu.ftw >> (2 * r) & 3) != 3) a.ftw |= (uint8_t)(1 << r);
    if (memcmp(&out.fpu.st[(r - top) & 7], &in->st[(r - before_top) & 7], 10)) a.changed |= (uint8_t)(1 << r);
  }
  fwrite(&a, sizeof a, 1, stdout);
  for (unsigned r = 0; r < 8; r++)
    if (a.changed >> r & 1) fwrite(&out.fpu.st[(r - top) & 7], 10, 1, stdout);
  if (a.mem_changed) fwrite(mem, 10, 1, stdout);
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  state = strtoull(argv[1], 0, 0);
  unsigned long count = strtoul(argv[2], 0, 0);
  code = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (code == MAP_FAILED) return 1;
  signal(SIGILL, on_signal);
  signal(SIGFPE, on_signal);
  for (unsigned long n = 0; n < count; n++) {
    struct before b;
    image in;
    static uint8_t mem[16];
    pick(&b.op, &b.modrm);
    if (argc > 4) {
      b.op = (uint8_t)strtoul(argv[3], 0, 16);
      b.modrm = (uint8_t)strtoul(argv[4], 0, 16);
    }
    prepare(&b, &in, mem);
    run(&b, &in, mem);
  }
  return 0;
}
