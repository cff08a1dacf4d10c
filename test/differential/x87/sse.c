/*
 * sse: runs scalar SSE, AVX and FMA floating-point operations with random operands and MXCSR and writes what they did.
 *
 *   sse <seed> <count> > vectors
 *
 * One struct record per case, little-endian. Singles are in the low halves. Linux, 64-bit user mode, needs AVX and FMA.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

struct __attribute__((packed)) record {
  uint8_t op, imm, trap;
  uint8_t width; /* 4 or 8 */
  uint16_t mxcsr, mxcsr_after;
  uint64_t a, b, c, result;
};

static uint64_t state;
static uint64_t rnd(void) {
  uint64_t z = (state += 0x9e3779b97f4a7c15ull);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}
static unsigned below(unsigned n) { return (unsigned)((rnd() >> 32) % n); }

static uint64_t fields(int width, uint64_t sign, int exponent, uint64_t fraction) {
  if (width == 8) return sign << 63 | (uint64_t)(exponent & 0x7ff) << 52 | (fraction >> 12);
  return sign << 31 | (uint64_t)(exponent & 0xff) << 23 | (fraction >> 41);
}

static uint64_t operand(int width) {
  int top = width == 8 ? 2047 : 255, bias = top >> 1, digits = width == 8 ? 52 : 23;
  uint64_t s = below(2), f = rnd();
  switch (below(6)) {
    case 0: f = 0; break;
    case 1: f = ~0ull; break;
    case 2: f = 1ull << (63 - below((unsigned)digits)); break;
    case 3: f &= ~0ull << 41; break; /* 23 bits */
  }
  switch (below(20)) {
    case 0: return fields(width, s, 0, 0);
    case 1: return fields(width, s, top, 0);
    case 2: return fields(width, s, top, f | 1ull << 63);
    case 3: return fields(width, s, top, (f >> 1) | 1ull << 41);
    case 4: case 5: return fields(width, s, 0, f >> below((unsigned)digits));
    case 6: return fields(width, s, 1, f);
    case 7: return fields(width, s, top - 1, f);
    case 8: return fields(width, s, 1 + (int)below(60), f);
    case 9: return fields(width, s, top - 1 - (int)below(60), f);
    case 10: return fields(width, s, bias + 20 + (int)below(50), f);
    case 11: return fields(width, s, bias / 2 + (int)below(8) - 4, f);
    case 12: return fields(width, s, (int)below((unsigned)top), f);
    case 13: return fields(width, s, width == 8 ? bias - 126 - (int)below(30) : bias - (int)below(30), f);
    case 14: return fields(width, s, width == 8 ? bias + 120 + (int)below(10) : bias + (int)below(30), f);
    default: return fields(width, s, bias - 3 + (int)below(8), f);
  }
}

static sigjmp_buf escape;
static volatile uint32_t trapped;
static void on_signal(int sig, siginfo_t *info, void *context) {
  (void)info;
  trapped = ((ucontext_t *)context)->uc_mcontext.fpregs->mxcsr;
  siglongjmp(escape, sig);
}

static uint32_t in, out;
typedef double v2 __attribute__((vector_size(16)));
static v2 A, B, C;
static int64_t R;

#define RUN(text) __asm__ volatile("ldmxcsr %4\n" text "\nstmxcsr %2" : "+x"(A), "+r"(R), "=m"(out) : "x"(B), "m"(in), "x"(C) : "cc")
#define BOTH(w, x) if (width == 8) RUN(w); else RUN(x)
#define PAIR(name) BOTH(name "sd %3, %0", name "ss %3, %0"); break
#define COMPARE(n) case n: BOTH("vcmpsd $" #n ", %3, %0, %0", "vcmpss $" #n ", %3, %0, %0"); break;
#define ROUND(n) case n: BOTH("roundsd $" #n ", %3, %0", "roundss $" #n ", %3, %0"); break;
#define COMI(name) BOTH(name "sd %3, %0\npushfq\npop %1", name "ss %3, %0\npushfq\npop %1"); R &= 0x45; break

static void compare(int width, int imm) {
  switch (imm) {
    COMPARE(0) COMPARE(1) COMPARE(2) COMPARE(3) COMPARE(4) COMPARE(5) COMPARE(6) COMPARE(7)
    COMPARE(8) COMPARE(9) COMPARE(10) COMPARE(11) COMPARE(12) COMPARE(13) COMPARE(14) COMPARE(15)
    COMPARE(16) COMPARE(17) COMPARE(18) COMPARE(19) COMPARE(20) COMPARE(21) COMPARE(22) COMPARE(23)
    COMPARE(24) COMPARE(25) COMPARE(26) COMPARE(27) COMPARE(28) COMPARE(29) COMPARE(30) COMPARE(31)
  }
}

static void integral(int width, int imm) {
  switch (imm) {
    ROUND(0) ROUND(1) ROUND(2) ROUND(3) ROUND(4) ROUND(5) ROUND(6) ROUND(7)
    ROUND(8) ROUND(9) ROUND(10) ROUND(11) ROUND(12) ROUND(13) ROUND(14) ROUND(15)
  }
}

#define OPERATIONS 22
static void run(int op, int width, int imm) {
  switch (op) {
    case 0: PAIR("add");
    case 1: PAIR("sub");
    case 2: PAIR("mul");
    case 3: PAIR("div");
    case 4: PAIR("min");
    case 5: PAIR("max");
    case 6: PAIR("sqrt");
    case 7: compare(width, imm); break;
    case 8: COMI("comi");
    case 9: COMI("ucomi");
    case 10: BOTH("cvtsd2ss %3, %0", "cvtss2sd %3, %0"); break;
    case 11: BOTH("cvtsd2si %3, %k1", "cvtss2si %3, %k1"); break;
    case 12: BOTH("cvttsd2si %3, %k1", "cvttss2si %3, %k1"); break;
    case 13: BOTH("cvtsd2si %3, %q1", "cvtss2si %3, %q1"); break;
    case 14: BOTH("cvttsd2si %3, %q1", "cvttss2si %3, %q1"); break;
    case 15: BOTH("cvtsi2sdl %k1, %0", "cvtsi2ssl %k1, %0"); break;
    case 16: BOTH("cvtsi2sdq %q1, %0", "cvtsi2ssq %q1, %0"); break;
    case 17: integral(width, imm); break;
    case 18: BOTH("vfmadd213sd %5, %3, %0", "vfmadd213ss %5, %3, %0"); break;
    case 19: BOTH("vfmsub213sd %5, %3, %0", "vfmsub213ss %5, %3, %0"); break;
    case 20: BOTH("vfnmadd213sd %5, %3, %0", "vfnmadd213ss %5, %3, %0"); break;
    case 21: BOTH("vfnmsub213sd %5, %3, %0", "vfnmsub213ss %5, %3, %0"); break;
  }
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  state = strtoull(argv[1], 0, 0);
  unsigned long count = strtoul(argv[2], 0, 0);
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
  sigaction(SIGFPE, &action, 0);
  for (volatile unsigned long n = 0; n < count; n++) {
    struct record r = {0};
    r.op = (uint8_t)(n % OPERATIONS);
    r.imm = (uint8_t)(r.op == 7 ? below(32) : r.op == 17 ? below(16) : 0);
    r.width = below(2) ? 8 : 4;
    r.a = operand(r.width);
    r.b = below(4) ? operand(r.width) : r.a ^ (uint64_t)below(3) << (r.width * 8 - 1 - 8 * below(2));
    r.c = operand(r.width);
    if (r.width == 4) r.b &= 0xffffffff;
    if (r.op == 15 || r.op == 16) r.a = (uint64_t)((int64_t)rnd() >> below(64));
    unsigned masks = below(4) ? 0x3f : below(64);
    r.mxcsr = (uint16_t)(masks << 7 | below(4) << 13 | (below(4) ? 0 : 0x40) | (below(4) ? 0 : 0x8000));
    in = r.mxcsr;
    uint64_t zero = 0;
    memcpy(&A, &r.a, 8); memcpy((char *)&A + 8, &zero, 8);
    memcpy(&B, &r.b, 8); memcpy((char *)&B + 8, &zero, 8);
    memcpy(&C, &r.c, 8); memcpy((char *)&C + 8, &zero, 8);
    R = (r.op == 15 || r.op == 16) ? (int64_t)r.a : 0;
    if (r.op == 15 || r.op == 16) memset(&A, 0, 16);
    int sig = sigsetjmp(escape, 1);
    if (sig == 0) run(r.op, r.width, r.imm);
    uint32_t standard = 0x1f80;
    __asm__ volatile("ldmxcsr %0" : : "m"(standard));
    r.trap = sig ? 19 : 0;
    r.mxcsr_after = (uint16_t)(sig ? trapped : out);
    int scalar = (r.op >= 11 && r.op <= 14) || r.op == 8 || r.op == 9;
    if (!sig) {
      if (scalar) r.result = (uint64_t)R;
      else memcpy(&r.result, &A, 8);
    }
    fwrite(&r, sizeof r, 1, stdout);
  }
  return 0;
}
