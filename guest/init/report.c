/* The way out: messages, the exit code for the host, and the end of the machine. */
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_CODE_IOCTL = 0x7602, PIECES_MAX = 12 };

static int root_fd = -1;

/* Kept from the first moment on, so that the host hears the code even after a block device became the root. */
void report_open_root(void) {
  root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (root_fd >= 0 && root_fd < 3) {
    int high = fcntl(root_fd, F_DUPFD_CLOEXEC, 3);
    close(root_fd);
    root_fd = high;
  }
}

int report_root(void) { return root_fd < 0 ? AT_FDCWD : root_fd; }

void say(const char *first, ...) {
  struct iovec pieces[PIECES_MAX + 2] = {{(char *)"krun init: ", 11}};
  int n = 1;
  va_list rest;
  va_start(rest, first);
  for (const char *s = first; s && n <= PIECES_MAX; s = va_arg(rest, const char *))
    pieces[n++] = (struct iovec){(char *)s, strlen(s)};
  va_end(rest);
  pieces[n++] = (struct iovec){(char *)"\n", 1};
  if (writev(2, pieces, n) < 0) return; /* nowhere left to complain */
}

/* Asked of every root, because only the host can tell whether it listens; other file systems answer ENOTTY. */
void report_exit_code(int code) {
  if (root_fd < 0) report_open_root();
  if (root_fd >= 0 && (!ioctl(root_fd, EXIT_CODE_IOCTL, (unsigned long)(unsigned)code) || errno == ENOTTY)) return;
  say("Cannot report the exit code to the host: ", strerror(errno), NULL);
}

static void short_sleep(void) { nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL); }

/* What a slow host has not taken from the console yet would be lost in the reboot; a host that is gone must not hold it up. */
static void drain_console(void) {
  int waiting = 0;
  for (int i = 0; i < 500 && !ioctl(2, TIOCOUTQ, &waiting) && waiting > 0; i++) short_sleep();
}

/* Ends what is still running, for a moment at most: a task stuck in the kernel must not keep the machine alive. */
static void kill_everything(void) {
  if (kill(-1, SIGKILL)) return;
  for (int i = 0; i < 100; i++) {
    pid_t gone;
    while ((gone = waitpid(-1, NULL, WNOHANG)) > 0) {
    }
    if (gone < 0) return;
    short_sleep();
  }
}

_Noreturn void finish(int code) {
  report_exit_code(code);
  if (getpid() == 1) {
    kill_everything();
    drain_console();
    sync();
    if (block_root) mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL); /* leaves its file system clean */
    reboot(RB_AUTOBOOT);
  }
  _exit(code);
}
