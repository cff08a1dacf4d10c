/* The exec file: "KRUN-EXEC-1" NUL, then "key=value" NUL records, then "end" NUL. README.md has the table of keys. */
#include "init.h"

#include <string.h>

static const char MAGIC[] = "KRUN-EXEC-1";

static bool number(const char *s, unsigned *out) {
  unsigned long long n = 0;
  if (!*s) return false;
  for (; *s; s++) {
    if (*s < '0' || *s > '9') return false;
    n = n * 10 + (unsigned)(*s - '0');
    if (n >= 0xffffffffu) return false; /* (uid_t)-1 means "unchanged" to the kernel */
  }
  *out = (unsigned)n;
  return true;
}

static void push_mount(struct exec_file *out, struct mount_request *next, char *target) {
  struct mount_request *all = must_alloc((out->mount_count + 1) * sizeof *all);
  if (out->mount_count) memcpy(all, out->mounts, out->mount_count * sizeof *all);
  next->target = target;
  all[out->mount_count++] = *next;
  out->mounts = all;
  *next = (struct mount_request){0};
}

static const char *record(char *key, char *value, struct exec_file *out, struct mount_request *next) {
  if (!strcmp(key, "exec")) out->exec = value;
  else if (!strcmp(key, "arg0")) out->arg0 = value;
  else if (!strcmp(key, "arg")) strings_push(&out->args, value);
  else if (!strcmp(key, "clearenv")) out->clear_env = true;
  else if (!strcmp(key, "env")) {
    if (*value == '=' || !strchr(value, '=')) return "an env record without a name";
    strings_push(&out->env, value);
  } else if (!strcmp(key, "workdir")) out->workdir = value;
  else if (!strcmp(key, "hostname")) out->hostname = value;
  else if (!strcmp(key, "rlimit")) strings_push(&out->rlimits, value);
  else if (!strcmp(key, "port")) strings_push(&out->ports, value);
  else if (!strcmp(key, "control")) out->control = value;
  else if (!strcmp(key, "mount.type")) next->type = value;
  else if (!strcmp(key, "mount.source")) next->source = value;
  else if (!strcmp(key, "mount.options")) next->options = value;
  else if (!strcmp(key, "mount")) {
    if (!next->type || !next->source || *value != '/') return "an incomplete mount record";
    push_mount(out, next, value);
  } else if (!strcmp(key, "uid")) {
    if (!(out->has_uid = number(value, &out->uid))) return "a uid that is no number";
  } else if (!strcmp(key, "gid")) {
    if (!(out->has_gid = number(value, &out->gid))) return "a gid that is no number";
  } else return "an unknown key";
  return NULL;
}

const char *exec_file_parse(char *bytes, size_t length, struct exec_file *out) {
  struct mount_request next = {0};
  *out = (struct exec_file){0};
  if (length < sizeof MAGIC || memcmp(bytes, MAGIC, sizeof MAGIC)) return "another magic";
  for (size_t at = sizeof MAGIC; at < length;) {
    char *key = bytes + at;
    char *nul = memchr(key, 0, length - at);
    if (!nul) return "a record without its end";
    at = (size_t)(nul - bytes) + 1;
    if (!strcmp(key, "end")) return at == length ? NULL : "bytes after the end record";
    char *equals = strchr(key, '=');
    if (!equals) return "a record without '='";
    *equals = 0;
    const char *error = record(key, equals + 1, out, &next);
    if (error) return error;
  }
  return "no end record";
}
