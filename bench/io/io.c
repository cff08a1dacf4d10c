// What devices cost, timed inside the guest: prints one "RESULT name seconds" a line.
// As PID 1 (under QEMU) it mounts and configures what krun's init has done already, and restarts the machine at the end.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
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

enum { DIRS = 20, FILES = 100, MIB = 1 << 20 };
static char *buffer;
static char path[256];

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}
static double started;
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
static void drop_caches(void) {
  sync();
  int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);
  must(fd >= 0 && write(fd, "3", 1) == 1, "drop caches");
  close(fd);
}
static char *name(const char *base, int d, int f) {
  sprintf(path, f < 0 ? "%s/d%d" : "%s/d%d/f%d", base, d, f);
  return path;
}
#define EACH for (int d = 0; d < DIRS; d++) for (int f = 0; f < FILES; f++)

static void files(const char *base) {
  struct stat st;
  begin();
  for (int d = 0; d < DIRS; d++) must(mkdir(name(base, d, -1), 0755) == 0, "mkdir");
  EACH {
    int fd = open(name(base, d, f), O_CREAT | O_EXCL | O_WRONLY, 0644);
    must(fd >= 0 && write(fd, buffer, 4096) == 4096 && close(fd) == 0, "create");
  }
  end("files: create 2000 of 4 KiB");
  drop_caches();
  begin();
  EACH must(stat(name(base, d, f), &st) == 0 && st.st_size == 4096, "stat");
  end("files: stat 2000, nothing cached");
  drop_caches();
  begin();
  EACH {
    int fd = open(name(base, d, f), O_RDONLY);
    must(fd >= 0 && read(fd, buffer, 8192) == 4096 && close(fd) == 0, "read");
  }
  end("files: read 2000, nothing cached");
  begin();
  EACH must(unlink(name(base, d, f)) == 0, "unlink");
  for (int d = 0; d < DIRS; d++) must(rmdir(name(base, d, -1)) == 0, "rmdir");
  end("files: unlink 2000");
  sprintf(path, "%s/large", base);
  begin();
  int fd = open(path, O_CREAT | O_TRUNC | O_RDWR, 0644);
  must(fd >= 0, "large file");
  for (int i = 0; i < 128; i++) must(write(fd, buffer, MIB) == MIB, "write");
  must(fsync(fd) == 0, "fsync");
  end("file: write 128 MiB, fsync");
  close(fd);
  drop_caches();
  begin();
  fd = open(path, O_RDONLY);
  for (int i = 0; i < 128; i++) must(read(fd, buffer, MIB) == MIB, "read");
  end("file: read 128 MiB, nothing cached");
  close(fd);
  unlink(path);
}

static void disk(void) {
  int fd = open("/dev/vda", O_RDWR | O_DIRECT);
  must(fd >= 0, "open /dev/vda");
  begin();
  for (int i = 0; i < 128; i++) must(pwrite(fd, buffer, MIB, (off_t)i * MIB) == MIB, "disk write");
  must(fsync(fd) == 0, "disk flush");
  end("disk: write 128 MiB, O_DIRECT");
  begin();
  for (int i = 0; i < 128; i++) must(pread(fd, buffer, MIB, (off_t)i * MIB) == MIB, "disk read");
  end("disk: read 128 MiB, O_DIRECT");
  unsigned seed = 1;
  begin();
  for (int i = 0; i < 4000; i++) {
    seed = seed * 1103515245 + 12345;
    must(pread(fd, buffer, 4096, (off_t)(seed >> 8) % (128 * 256) * 4096) == 4096, "random read");
  }
  end("disk: 4000 random reads of 4 KiB");
  close(fd);
}

static int dial(const char *host, int port) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
  inet_pton(AF_INET, host, &to.sin_addr);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  must(fd >= 0 && connect(fd, (void *)&to, sizeof to) == 0, "connect");
  return fd;
}
/** The server's commands: 'd' sends 64 MiB, 'u' takes 64 MiB and answers a byte, 'e' echoes a byte. */
static void net(const char *host, int port) {
  long total = 0, n;
  begin();
  int fd = dial(host, port);
  must(write(fd, "d", 1) == 1, "ask");
  while ((n = read(fd, buffer, MIB)) > 0) total += n;
  must(total == 64L * MIB, "download");
  close(fd);
  end("net: download 64 MiB");
  begin();
  fd = dial(host, port);
  must(write(fd, "u", 1) == 1, "ask");
  for (total = 0; total < 64L * MIB; total += n) must((n = write(fd, buffer, MIB)) > 0, "upload");
  must(read(fd, buffer, 1) == 1, "upload");
  close(fd);
  end("net: upload 64 MiB");
  begin();
  for (int i = 0; i < 300; i++) {
    fd = dial(host, port);
    must(write(fd, "e", 1) == 1 && read(fd, buffer, 1) == 1, "echo");
    close(fd);
  }
  end("net: 300 connections");
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
}

int main(void) {
  posix_memalign((void **)&buffer, 4096, MIB);
  memset(buffer, 0x5a, MIB);
  const int first = getpid() == 1;
  if (first) {
    mkdir("/dev", 0755), mkdir("/proc", 0755), mkdir("/share", 0755);
    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    mount("proc", "/proc", "proc", 0, NULL);
    int out = open("/dev/hvc0", O_RDWR);
    dup2(out, 0), dup2(out, 1), dup2(out, 2);
    must(mount("share", "/share", "virtiofs", 0, NULL) == 0, "mount share");
    network_up();
  }
  files(first ? "/share" : "/data");
  disk();
  net(getenv("server"), atoi(getenv("port")));
  if (first) reboot(RB_AUTOBOOT);
  return 0;
}
