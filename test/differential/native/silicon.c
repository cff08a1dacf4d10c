/*
 * silicon: runs single x86-64 instructions on the processor and reports what they did.
 *
 * Reads a header and then cases from standard input, writes one result per case to standard output, both as the
 * fixed-size records below (little-endian). One trap serves two cases: the handler of the trap that ends an
 * instruction stores its state, writes the next case over the saved context and returns into it. So RSP, the
 * arithmetic flags, x87 and SSE state are all arbitrary, and no case needs code of ours around its instruction.
 *
 * Linux user mode only; needs FSGSBASE.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define MAGIC 0x314e4c49534b5243ull
#define MAX_WINDOWS 8
#define PAGE 4096
#define MEMORY_MAX 4096

struct window {
  uint64_t address, length;
};

/* The layout comes from src/testing/layout.ts through the stream, so that it is written down once. */
struct header {
  uint64_t magic;
  uint64_t record_size; /* of a case and of a result, memory included */
  uint64_t low, high, hole, read_only, code, instruction;
  uint64_t windows;
  struct window window[MAX_WINDOWS];
};

struct record {
  uint64_t gpr[16]; /* in ModRM order */
  uint64_t rflags, fs_base, gs_base;
  uint32_t mxcsr;
  uint16_t fcw, fsw;
  uint8_t ftw, length, pad[6];
  union {
    struct {
      uint8_t code[16];
      uint64_t unused;
    } in;
    struct {
      uint64_t rip;
      uint32_t vector, error;
      uint64_t cr2;
    } out;
  };
  uint8_t xmm[16][16];
  uint8_t st[8][10];
  uint8_t memory[MEMORY_MAX];
};

#define NO_VECTOR 0xffffffffu

static struct header header;
static size_t record_size;
static uint8_t *instruction;
static uint8_t last_length;
static int running; /* an instruction is in flight */

/* Read and written by the assembly around on_signal. */
uint64_t host_fs __attribute__((used)), case_fs __attribute__((used));
extern void signal_entry(int, siginfo_t *, void *);

static uint8_t in_buffer[1 << 18], out_buffer[1 << 18];
static size_t in_at, in_end, out_at;

static const int greg[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                             REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

static void die(const char *what) {
  dprintf(2, "Cannot run cases: %s\n", what);
  _exit(1);
}

static void flush_out(void) {
  for (size_t at = 0; at < out_at;) {
    ssize_t n = write(1, out_buffer + at, out_at - at);
    if (n <= 0) die("standard output closed");
    at += n;
  }
  out_at = 0;
}

/* Returns the next `size` bytes of input, or NULL at its end. */
static const void *take(size_t size) {
  if (in_end - in_at < size) {
    memmove(in_buffer, in_buffer + in_at, in_end - in_at);
    in_end -= in_at;
    in_at = 0;
    /* Whoever feeds us may be waiting for results before sending more. */
    flush_out();
    while (in_end < size) {
      ssize_t n = read(0, in_buffer + in_end, sizeof in_buffer - in_end);
      if (n < 0) die("standard input failed");
      if (n == 0) {
        if (in_end) die("input ends inside a record");
        return NULL;
      }
      in_end += n;
    }
  }
  const void *p = in_buffer + in_at;
  in_at += size;
  return p;
}

/* A case that writes outside the windows would poison the ones after it. */
static void check_outside_windows(void) {
  for (uint64_t a = header.low; a < header.hole; a++) {
    int inside = 0;
    for (uint64_t w = 0; w < header.windows; w++)
      inside |= a - header.window[w].address < header.window[w].length;
    if (!inside && *(uint8_t *)a) {
      dprintf(2, "Cannot trust results: byte %#lx outside the windows was written\n", (unsigned long)a);
      _exit(2);
    }
  }
}

static void store_result(const ucontext_t *uc) {
  if (out_at + record_size > sizeof out_buffer) flush_out();
  struct record *r = (void *)(out_buffer + out_at);
  out_at += record_size;
  const greg_t *g = uc->uc_mcontext.gregs;
  const uint8_t *fx = (const void *)uc->uc_mcontext.fpregs;

  memset(r, 0, offsetof(struct record, xmm));
  for (int i = 0; i < 16; i++) r->gpr[i] = g[greg[i]];
  r->rflags = g[REG_EFL] & ~0x10000ull; /* RF only says that a fault was delivered */
  r->fs_base = case_fs;
  __asm__ volatile("rdgsbase %0" : "=r"(r->gs_base));
  memcpy(&r->fcw, fx, 2);
  memcpy(&r->fsw, fx + 2, 2);
  r->ftw = fx[4];
  memcpy(&r->mxcsr, fx + 24, 4);
  for (int i = 0; i < 8; i++) memcpy(r->st[i], fx + 32 + 16 * i, 10);
  memcpy(r->xmm, fx + 160, 256);
  r->out.rip = g[REG_RIP];
  r->out.vector = g[REG_TRAPNO];
  r->out.error = g[REG_ERR];
  r->out.cr2 = g[REG_TRAPNO] == 14 ? g[REG_CR2] : 0;
  /* INT3 of the filling is the normal end, unless it stands inside the instruction under test. */
  if (r->out.vector == 3 && r->out.rip - 1 - (uint64_t)instruction >= last_length &&
      r->out.rip - 1 - header.code < PAGE) {
    r->out.vector = NO_VECTOR;
    r->out.error = 0;
    r->out.rip--;
  }
  uint8_t *m = r->memory;
  for (uint64_t w = 0; w < header.windows; w++) {
    memcpy(m, (void *)header.window[w].address, header.window[w].length);
    m += header.window[w].length;
  }
}

static void writable(int on) {
  mprotect((void *)header.read_only, PAGE, on ? PROT_READ | PROT_WRITE : PROT_READ);
}

static void load_case(ucontext_t *uc, const struct record *c) {
  greg_t *g = uc->uc_mcontext.gregs;
  uint8_t *fx = (void *)uc->uc_mcontext.fpregs;
  uint64_t both = 3; /* XSTATE_BV: x87 and SSE from memory, the rest in its initial state */

  for (int i = 0; i < 16; i++) g[greg[i]] = c->gpr[i];
  g[REG_RIP] = (greg_t)instruction;
  g[REG_EFL] = c->rflags;
  case_fs = c->fs_base;
  __asm__ volatile("wrgsbase %0" : : "r"(c->gs_base));
  memset(fx, 0, 24);
  memcpy(fx, &c->fcw, 2);
  memcpy(fx + 2, &c->fsw, 2);
  fx[4] = c->ftw;
  memcpy(fx + 24, &c->mxcsr, 4);
  for (int i = 0; i < 8; i++) {
    memset(fx + 32 + 16 * i, 0, 16);
    memcpy(fx + 32 + 16 * i, c->st[i], 10);
  }
  memcpy(fx + 160, c->xmm, 256);
  memcpy(fx + 512, &both, 8);

  const uint8_t *m = c->memory;
  for (uint64_t w = 0; w < header.windows; w++) {
    uint8_t *to = (void *)header.window[w].address;
    size_t n = header.window[w].length;
    int read_only = header.window[w].address - header.read_only < PAGE;
    if (!read_only) {
      memcpy(to, m, n);
    } else if (memcmp(to, m, n)) {
      writable(1);
      memcpy(to, m, n);
      writable(0);
    }
    m += n;
  }
  if (c->length < 1 || c->length > 15) die("instruction length outside 1 to 15");
  memset(instruction, 0xcc, last_length);
  memcpy(instruction, c->in.code, c->length);
  last_length = c->length;
}

__attribute__((used)) void on_signal(int number, siginfo_t *info, ucontext_t *uc) {
  (void)number, (void)info;
  if (running) store_result(uc);
  running = 1;
  const struct record *c = take(record_size);
  if (c) {
    load_case(uc, c);
    return;
  }
  check_outside_windows();
  flush_out();
  _exit(0);
}

/*
 * A case may leave AC, ID or NT set and any FS base: none of it may reach C code, which uses the stack freely and
 * thread-local storage through FS. The FS base of the next case is set as the very last thing.
 */
__asm__(".text\n"
        ".globl signal_entry\n"
        "signal_entry:\n"
        "  sub $8, %rsp\n"
        "  pushq $2\n"
        "  popfq\n"
        "  rdfsbase %rax\n"
        "  mov %rax, case_fs(%rip)\n"
        "  mov host_fs(%rip), %rax\n"
        "  wrfsbase %rax\n"
        "  call on_signal\n"
        "  mov case_fs(%rip), %rax\n"
        "  wrfsbase %rax\n"
        "  add $8, %rsp\n"
        "  ret\n");

static void map(uint64_t address, int protection) {
  void *p = mmap((void *)address, PAGE, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (p != (void *)address) die("a page of the layout is taken");
}

int main(void) {
  const struct header *h = take(sizeof header);
  if (!h || h->magic != MAGIC) die("input does not start with the header");
  header = *h;
  record_size = header.record_size;
  uint64_t memory = 0;
  if (header.windows > MAX_WINDOWS) die("too many windows");
  for (uint64_t w = 0; w < header.windows; w++) memory += header.window[w].length;
  if (record_size < offsetof(struct record, memory) + memory || record_size > sizeof(struct record))
    die("record size does not fit the windows");

  map(header.low, PROT_READ | PROT_WRITE);
  map(header.high, PROT_READ | PROT_WRITE);
  map(header.hole, PROT_NONE);
  map(header.read_only, PROT_READ);
  map(header.code, PROT_READ | PROT_WRITE | PROT_EXEC);
  memset((void *)header.code, 0xcc, PAGE);
  instruction = (uint8_t *)header.instruction;
  __asm__ volatile("rdfsbase %0" : "=r"(host_fs));

  stack_t stack = {.ss_size = 1 << 18};
  stack.ss_sp = mmap(0, stack.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (stack.ss_sp == MAP_FAILED || sigaltstack(&stack, 0)) die("no signal stack");
  struct sigaction action = {.sa_sigaction = signal_entry, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
  for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) sigaction(signals[i], &action, 0);
  __asm__ volatile("int3");
  return 1;
}
