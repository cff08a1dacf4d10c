/* What a Linux program expects to find mounted, the optional block root, and mounts that the host asked for. */
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

bool block_root = false;

static bool cannot_mount(const char *what, const char *where) {
  say("Cannot mount ", what, " on ", where, ": ", strerror(errno), NULL);
  return false;
}

/* The errno of a missing mount point would hide why it could not be made. */
static void make_directory(const char *path) {
  if (mkdir(path, 0755) && errno != EEXIST) say("Cannot create ", path, ": ", strerror(errno), NULL);
}

bool mount_basics(void) {
  static const unsigned long STRICT = MS_NODEV | MS_NOEXEC | MS_NOSUID | MS_RELATIME;
  static const unsigned long NO_EXEC = MS_NOEXEC | MS_NOSUID | MS_RELATIME;
  static const struct {
    const char *type, *target, *data;
    unsigned long flags;
    bool create, needed; /* a kernel without control groups, say, still runs programs */
  } BASICS[] = {
      {"devtmpfs", "/dev", NULL, MS_RELATIME, true, true},
      {"proc", "/proc", NULL, STRICT, true, true},
      {"sysfs", "/sys", NULL, STRICT, true, true},
      {"cgroup2", "/sys/fs/cgroup", NULL, STRICT, false, false},
      {"devpts", "/dev/pts", "mode=0620,ptmxmode=0666,gid=5", NO_EXEC, true, false},
      {"tmpfs", "/dev/shm", NULL, NO_EXEC, true, false},
  };
  for (size_t i = 0; i < sizeof BASICS / sizeof *BASICS; i++) {
    if (BASICS[i].create) make_directory(BASICS[i].target);
    if (!mount(BASICS[i].type, BASICS[i].target, BASICS[i].type, BASICS[i].flags, BASICS[i].data)) continue;
    if (errno == EBUSY) continue;
    cannot_mount(BASICS[i].type, BASICS[i].target);
    if (BASICS[i].needed) return false;
  }
  static const char *const LINKS[][2] = {{"/proc/self/fd", "/dev/fd"},
                                         {"/proc/self/fd/0", "/dev/stdin"},
                                         {"/proc/self/fd/1", "/dev/stdout"},
                                         {"/proc/self/fd/2", "/dev/stderr"}};
  for (size_t i = 0; i < sizeof LINKS / sizeof *LINKS; i++)
    if (symlink(LINKS[i][0], LINKS[i][1]) && errno != EEXIST) say("Cannot create ", LINKS[i][1], NULL);
  chmod("/dev/kvm", 0666);
  return true;
}

static bool try_mount(const char *source, const char *target, const char *type, const char *options) {
  char *data = must_alloc(strlen(options) + 1);
  unsigned long flags = mount_flags(options, data);
  bool ok = !mount(source, target, type, flags, *data ? data : NULL);
  int error = errno;
  free(data);
  errno = error;
  return ok;
}

/* Without a type, every type of /proc/filesystems that needs a device is tried in order. */
static bool mount_any_type(const char *device, const char *target, const char *options) {
  char *types = read_file_at(AT_FDCWD, "/proc/filesystems", 64 << 10, NULL);
  for (char *line = types ? strtok(types, "\n") : NULL; line; line = strtok(NULL, "\n")) {
    if (!strncmp(line, "nodev", 5)) continue;
    if (try_mount(device, target, line + strspn(line, " \t"), options)) return true;
  }
  return false;
}

bool mount_block_root(const char *device, const char *type, const char *options) {
  if (!options) options = "";
  make_directory("/newroot");
  bool any = !type || !*type || !strcmp(type, "auto");
  bool ok = any ? mount_any_type(device, "/newroot", options) : try_mount(device, "/newroot", type, options);
  if (!ok) return cannot_mount(device, "/newroot as the root");
  if (chdir("/newroot") || mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/"))
    return cannot_mount(device, "/");
  block_root = true;
  return mount_basics();
}

/* Every missing directory on the way to `path`; errors show in the mount that follows. */
static void make_path(const char *path) {
  char *copy = join(path, "/", "");
  for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
    *slash = 0;
    mkdir(copy, 0755);
    *slash = '/';
  }
  free(copy);
}

bool mount_requested(const struct mount_request *request) {
  make_path(request->target);
  if (try_mount(request->source, request->target, request->type, request->options ? request->options : "")) return true;
  return cannot_mount(request->source, request->target);
}

bool is_mounted(const char *destination) {
  char *mounts = read_file_at(AT_FDCWD, "/proc/mounts", 1 << 20, NULL);
  bool found = false;
  for (char *line = mounts ? strtok(mounts, "\n") : NULL; line && !found; line = strtok(NULL, "\n")) {
    char *target = strchr(line, ' ');
    if (!target) continue;
    size_t n = strcspn(++target, " ");
    found = strlen(destination) == n && !memcmp(target, destination, n);
  }
  free(mounts);
  return found;
}
