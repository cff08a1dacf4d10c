/* Switches EFLAGS.AC on and makes accesses that are not aligned. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define AC_ON "pushf; orl $0x40000,(%%rsp); popf\n\t"
#define AC_OFF "\n\tpushf; andl $~0x40000,(%%rsp); popf"

static sigjmp_buf back;
static volatile int cause;
static char area[8192] __attribute__((aligned(4096)));

static void handler(int number, siginfo_t *info, void *context) {
  __asm__ volatile("pushf; andl $~0x40000,(%%rsp); popf" ::: "memory", "cc");
  cause = info->si_code;
  siglongjmp(back, number);
}

#define TRY(name, code)                                                                                                \
  for (int i = 0; i < 6; i++) {                                                                                        \
    char *at = area + 64 + offsets[i];                                                                                 \
    int number = sigsetjmp(back, 1);                                                                                   \
    cause = number == 0 ? 0 : cause;                                                                                   \
    if (number == 0)                                                                                                   \
      __asm__ volatile(AC_ON code AC_OFF ::"r"(at) : "rax", "rcx", "rdx", "rsi", "rdi", "xmm0", "memory", "cc");       \
    printf("%s +%d: signal %d code %d\n", name, offsets[i], number, number == 0 ? 0 : cause);                          \
  }

int main(void) {
  static const int offsets[] = {0, 1, 2, 4, 8, 12};
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigaction(SIGBUS, &action, 0);
  sigaction(SIGSEGV, &action, 0);
  TRY("word", "movw (%0),%%ax")
  TRY("doubleword", "movl (%0),%%eax")
  TRY("store", "movq %%rax,(%0)")
  TRY("locked", "lock xaddq %%rax,(%0)")
  TRY("movaps", "movaps (%0),%%xmm0")
  TRY("80 bits", "fldz; fstpt (%0)")
  TRY("fnsave", "fnsave (%0); fninit")
  TRY("rep stosq", "mov %0,%%rdi; mov $3,%%ecx; rep stosq")
  TRY("system call", "mov $39,%%eax; syscall")
  TRY("push", "mov %%rsp,%%rsi; mov %0,%%rsp; push %%rax; mov %%rsi,%%rsp")
  puts("done");
  return 0;
}
