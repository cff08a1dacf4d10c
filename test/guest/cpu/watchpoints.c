/* Data breakpoints through ptrace's debug registers and through perf. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile struct { char before[64]; unsigned char watched[8]; char behind[56]; } area __attribute__((aligned(64)));

static void child(void) {
  ptrace(PTRACE_TRACEME, 0, 0, 0);
  raise(SIGSTOP);
  for (int i = 0; i < 3; i++) {
    area.before[63] = i;          /* beside it: nothing */
    area.watched[i] = i;          /* a byte of it */
    area.behind[0] = i;
  }
  *(volatile unsigned long *)area.watched = 7;
  (void)*(volatile unsigned char *)&area.watched[5]; /* a read */
  void *to = (void *)area.before;
  unsigned long count = 16;
  __asm__ volatile("rep stosq" : "+D"(to), "+c"(count) : "a"(0) : "memory");
  read(0, (void *)area.watched, 1); /* the kernel writes it */
  _exit(5);
}

static void trace(const char *name, unsigned long kind) {
  int pipes[2];
  pipe(pipes);
  write(pipes[1], "x", 1);
  pid_t pid = fork();
  if (pid == 0) { dup2(pipes[0], 0); child(); }
  int status, hits = 0;
  waitpid(pid, &status, 0);
  errno = 0;
  ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg[0]), (void *)area.watched);
  ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg[7]), (void *)kind);
  printf("%s: %s\n", name, errno == 0 ? "set" : strerror(errno));
  for (;;) {
    ptrace(PTRACE_CONT, pid, 0, 0);
    waitpid(pid, &status, 0);
    if (!WIFSTOPPED(status)) break;
    unsigned long dr6 = ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user, u_debugreg[6]), 0);
    ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg[6]), 0);
    struct user_regs_struct regs;
    ptrace(PTRACE_GETREGS, pid, 0, &regs);
    long word = ptrace(PTRACE_PEEKDATA, pid, (void *)area.watched, 0);
    printf("  stop %d, dr6 %lx, watched %016lx, rcx %s\n", WSTOPSIG(status), dr6 & 0xf, word, regs.rcx < 16 ? "counts" : "-");
    if (++hits > 40) { kill(pid, SIGKILL); }
  }
  printf("  ends with %d\n", WEXITSTATUS(status));
}

static volatile int counted;

static void perf(void) {
  struct perf_event_attr attr = {0};
  attr.type = PERF_TYPE_BREAKPOINT;
  attr.size = sizeof attr;
  attr.bp_type = HW_BREAKPOINT_W;
  attr.bp_addr = (unsigned long)&counted;
  attr.bp_len = HW_BREAKPOINT_LEN_4;
  attr.exclude_kernel = 1;
  int fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
  if (fd < 0) { printf("perf: not here\n"); return; }
  for (int i = 0; i < 25; i++) counted = i;
  long long count = 0;
  read(fd, &count, sizeof count);
  printf("perf: %lld\n", count);
}

int main(void) {
  setvbuf(stdout, 0, _IONBF, 0);
  trace("write 8", 1 | (0x9ul << 16));
  trace("write 1", 1 | (0x1ul << 16));
  trace("access 8", 1 | (0xbul << 16));
  trace("disabled", 0xbul << 16);
  perf();
}
