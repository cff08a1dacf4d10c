/* Standard input, output and error: the console device, and the virtio-console ports that may replace it. */
#include "init.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PORT_WAIT_SECONDS = 10 };

static const struct {
  const char *name;
  int fd, flags;
} REDIRECTS[] = {{"krun-stdin", 0, O_RDONLY}, {"krun-stdout", 1, O_WRONLY}, {"krun-stderr", 2, O_WRONLY}};
enum { REDIRECT_COUNT = sizeof REDIRECTS / sizeof *REDIRECTS };

static bool place(int fd, int wanted) {
  if (fd < 0) return false;
  if (fd == wanted) return true;
  bool ok = dup2(fd, wanted) == wanted;
  close(fd);
  return ok;
}

/*
 * The descriptors that the kernel opened belong to the initial root, where ttyname(3) cannot find them again;
 * opening the device by its real name repairs that. A kernel without a console leaves them closed: then /dev/null.
 */
void console_open(void) {
  char *active = read_file_at(AT_FDCWD, "/sys/class/tty/console/active", 256, NULL);
  int fd = -1;
  if (active) {
    active[strcspn(active, "\n")] = 0;
    const char *last = strrchr(active, ' ');
    fd = open(join("/dev/", last ? last + 1 : active, ""), O_RDWR | O_NOCTTY);
  }
  if (fd < 0) fd = open("/dev/console", O_RDWR | O_NOCTTY);
  if (fd < 0 && fcntl(0, F_GETFD) >= 0) return;
  if (fd < 0) fd = open("/dev/null", O_RDWR);
  if (fd < 0) return;
  for (int i = 0; i < 3; i++)
    if (i != fd) dup2(fd, i);
  if (fd > 2) close(fd);
}

/* Opens each port of /sys/class/virtio-ports that carries one of our names; `done` remembers which. */
static void redirect_found(bool done[]) {
  DIR *ports = opendir("/sys/class/virtio-ports");
  if (!ports) return;
  for (struct dirent *port; (port = readdir(ports));) {
    if (port->d_name[0] == '.') continue;
    char *name = read_file_at(dirfd(ports), join(port->d_name, "/name", ""), 256, NULL);
    if (!name) continue;
    name[strcspn(name, "\n")] = 0;
    for (int i = 0; i < REDIRECT_COUNT; i++)
      if (!done[i] && !strcmp(name, REDIRECTS[i].name))
        done[i] = place(open(join("/dev/", port->d_name, ""), REDIRECTS[i].flags | O_NOCTTY), REDIRECTS[i].fd);
  }
  closedir(ports);
}

int console_port(const char *name) {
  int fd = -1;
  DIR *ports = opendir("/sys/class/virtio-ports");
  if (!ports) return -1;
  for (struct dirent *port; fd < 0 && (port = readdir(ports));) {
    if (port->d_name[0] == '.') continue;
    char *found = read_file_at(dirfd(ports), join(port->d_name, "/name", ""), 256, NULL);
    if (!found) continue;
    found[strcspn(found, "\n")] = 0;
    if (!strcmp(found, name)) fd = open(join("/dev/", port->d_name, ""), O_RDONLY | O_NOCTTY | O_CLOEXEC);
  }
  closedir(ports);
  return fd;
}

static const char *missing(const struct strings *required, const bool done[]) {
  for (size_t r = 0; r < required->n; r++) {
    int i = 0;
    while (i < REDIRECT_COUNT && strcmp(required->v[r], REDIRECTS[i].name)) i++;
    if (i == REDIRECT_COUNT || !done[i]) return required->v[r];
  }
  return NULL;
}

/*
 * Ports are announced by messages that the kernel handles in the background, so one that the host has promised
 * (`required`) is waited for. Without a promise what is there now is used, and the console stays for the rest.
 */
bool console_redirect(const struct strings *required) {
  bool done[REDIRECT_COUNT] = {false};
  const char *absent;
  struct timespec start, now;
  clock_gettime(CLOCK_MONOTONIC, &start);
  do {
    redirect_found(done);
    absent = missing(required, done);
    if (!absent) return true;
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    clock_gettime(CLOCK_MONOTONIC, &now);
  } while (now.tv_sec - start.tv_sec < PORT_WAIT_SECONDS);
  say("Cannot redirect standard input or output: no virtio-console port ", absent, NULL);
  return false;
}
