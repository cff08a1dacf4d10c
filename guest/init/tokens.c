/* The little languages of KRUN_* values and of mount options. */
#include "init.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

static bool number(const char **s, rlim_t *out) {
  while (**s == '"') ++*s;
  if (**s < '0' || **s > '9') return false;
  char *end;
  *out = strtoull(*s, &end, 10);
  while (*end == '"') end++;
  *s = end;
  return true;
}

bool limit_parse(const char *item, struct limit *out) {
  rlim_t id;
  if (!number(&item, &id) || id > 63 || (*item != '=' && *item != ':')) return false;
  item++;
  if (!number(&item, &out->value.rlim_cur) || *item++ != ':') return false;
  if (!number(&item, &out->value.rlim_max) || *item) return false;
  out->resource = (int)id;
  return true;
}

bool cmdline_has(const char *cmdline, const char *token) {
  size_t length = strlen(token);
  for (;;) {
    cmdline += strspn(cmdline, " \n");
    size_t n = strcspn(cmdline, " \n");
    if (!n || (n == 2 && !memcmp(cmdline, "--", 2))) return false;
    if (n == length && !memcmp(cmdline, token, n)) return true;
    cmdline += n;
  }
}

unsigned long mount_flags(const char *options, char *data) {
  static const struct {
    const char *name;
    unsigned long set, clear;
  } FLAGS[] = {
      {"ro", MS_RDONLY, 0},           {"rw", 0, MS_RDONLY},         {"nosuid", MS_NOSUID, 0}, {"suid", 0, MS_NOSUID},
      {"nodev", MS_NODEV, 0},         {"dev", 0, MS_NODEV},         {"noexec", MS_NOEXEC, 0}, {"exec", 0, MS_NOEXEC},
      {"noatime", MS_NOATIME, 0},     {"relatime", MS_RELATIME, 0}, {"sync", MS_SYNCHRONOUS, 0}, {"dirsync", MS_DIRSYNC, 0},
      {"nodiratime", MS_NODIRATIME, 0}, {"strictatime", MS_STRICTATIME, 0}, {"defaults", 0, 0},
  };
  unsigned long flags = 0;
  char *to = data;
  while (*options) {
    size_t n = strcspn(options, ","), i = 0;
    const size_t count = sizeof FLAGS / sizeof *FLAGS;
    while (i < count && (strlen(FLAGS[i].name) != n || memcmp(FLAGS[i].name, options, n))) i++;
    if (i < count) flags = (flags | FLAGS[i].set) & ~FLAGS[i].clear;
    else if (n) {
      if (to > data) *to++ = ',';
      memcpy(to, options, n);
      to += n;
    }
    options += n + (options[n] == ',');
  }
  *to = 0;
  return flags;
}
