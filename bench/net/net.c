// What a network interface costs, seen from inside the guest: prints one "RESULT name seconds" a line. Needs the words
// server=ADDRESS and port=N in its environment. As PID 1 (under QEMU) it mounts and configures what krun's init has
// done already, and restarts the machine at the end.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MIB = 1 << 20, CONNECTIONS = 200, ECHOES = 1000 };
static char buffer[MIB];

static double started;
static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}
static void begin(void) { started = now(); }
static void end(const char *name) {
  printf("RESULT %s %.4f\n", name, now() - started);
  fflush(stdout);
}
static void must(int ok, const char *what) {
  if (ok) return;
  printf("FAILED %s: %s\n", what, strerror(errno));
  fflush(stdout);
  if (getpid() == 1) reboot(RB_AUTOBOOT);
  exit(1);
}

static struct sockaddr_in server(void) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(getenv("port")))};
  inet_pton(AF_INET, getenv("server"), &to.sin_addr);
  return to;
}
static int dial(void) {
  struct sockaddr_in to = server();
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  must(fd >= 0 && connect(fd, (void *)&to, sizeof to) == 0, "connect");
  return fd;
}

/* The server's commands: 'd' sends so many MiB, 'u' takes them and answers a byte, 'e' echoes every byte. */
static void measure(long mib) {
  long total = 0, n;
  begin();
  int fd = dial();
  must(write(fd, "d", 1) == 1, "ask");
  while ((n = read(fd, buffer, MIB)) > 0) total += n;
  must(total == mib * MIB, "download");
  close(fd);
  end("download");
  begin();
  fd = dial();
  must(write(fd, "u", 1) == 1, "ask");
  for (total = 0; total < mib * MIB; total += n) must((n = write(fd, buffer, MIB)) > 0, "upload");
  must(read(fd, buffer, 1) == 1, "upload");
  close(fd);
  end("upload");
  begin();
  for (int i = 0; i < CONNECTIONS; i++) {
    fd = dial();
    must(write(fd, "e", 1) == 1 && read(fd, buffer, 1) == 1, "echo");
    close(fd);
  }
  end("200 connections, a byte each way");
  fd = dial();
  begin();
  for (int i = 0; i < ECHOES; i++) must(write(fd, "e", 1) == 1 && read(fd, buffer, 1) == 1, "echo");
  close(fd);
  end("1000 bytes there and back, one by one");
}

/* The link comes up a little later than the interface; what is sent before is lost, and would be sent again much later. */
static void await_link(void) {
  char carrier = 0;
  mkdir("/sys", 0755);
  mount("sysfs", "/sys", "sysfs", 0, NULL);
  for (double limit = now() + 10; carrier != '1' && now() < limit; sched_yield()) {
    int fd = open("/sys/class/net/eth0/carrier", O_RDONLY);
    if (fd >= 0 && read(fd, &carrier, 1) != 1) carrier = 0;
    close(fd);
  }
  must(carrier == '1', "link");
}

static void network_up(void) {
  int s = socket(AF_INET, SOCK_DGRAM, 0);
  struct ifreq r = {.ifr_name = "eth0"};
  struct sockaddr_in *a = (void *)&r.ifr_addr;
  a->sin_family = AF_INET;
  inet_pton(AF_INET, "10.0.2.15", &a->sin_addr);
  must(ioctl(s, SIOCSIFADDR, &r) == 0, "address");
  inet_pton(AF_INET, "255.255.255.0", &a->sin_addr);
  must(ioctl(s, SIOCSIFNETMASK, &r) == 0, "netmask");
  r.ifr_flags = IFF_UP | IFF_RUNNING;
  must(ioctl(s, SIOCSIFFLAGS, &r) == 0, "interface up");
  close(s);
  await_link();
}

int main(void) {
  const int first = getpid() == 1;
  if (first) {
    mkdir("/dev", 0755);
    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    int out = open("/dev/hvc0", O_RDWR);
    dup2(out, 0), dup2(out, 1), dup2(out, 2);
    network_up();
  }
  begin();
  end("start");
  measure(atol(getenv("mib")));
  if (first) reboot(RB_AUTOBOOT);
  return 0;
}
