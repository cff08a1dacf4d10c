/* What the host asks of a running guest: so far only that the workload ends. */
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

enum { PORT_WAIT_SECONDS = 10, PORT_WAIT_STEP_MS = 20 };

static int wait_for_port(const char *name) {
  for (int waited = 0; waited < PORT_WAIT_SECONDS * 1000; waited += PORT_WAIT_STEP_MS) {
    int fd = console_port(name);
    if (fd >= 0) return fd;
    nanosleep(&(struct timespec){.tv_nsec = PORT_WAIT_STEP_MS * 1000000L}, NULL);
  }
  return -1;
}

/* Ends with the machine, or when the host closes its end: the port then reads as ended. */
static void listen_to_host(int fd, int workload) {
  char byte;
  for (;;) {
    ssize_t got = read(fd, &byte, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return;
    if (byte == 's') kill(workload, SIGTERM);
  }
}

/* A process and not a thread of PID 1, which then needs nothing but wait(2). Without one the host has to do without. */
void control_start(const char *port, int workload) {
  pid_t pid = fork();
  if (pid) return;
  /* The workload's streams must not stay open because of us. */
  int null = open("/dev/null", O_RDWR);
  for (int i = 0; i < 3; i++) dup2(null, i);
  int fd = wait_for_port(port);
  if (fd >= 0) listen_to_host(fd, workload);
  _exit(0);
}
