/* Reads an exec file from standard input and prints each thing understood as "name value" NUL: the other end of the
 * round-trip test of src/boot/guest-config.ts. Exit code 1 and the reason when the file is refused. */
#include "init.h"

#include <stdio.h>
#include <stdlib.h>

void say(const char *first, ...) { fprintf(stderr, "say: %s\n", first); }
_Noreturn void finish(int code) { exit(code); }

static void one(const char *name, const char *value) {
  if (value) printf("%s %s%c", name, value, 0);
}

static void all(const char *name, const struct strings *list) {
  for (size_t i = 0; i < list->n; i++) one(name, list->v[i]);
}

int main(void) {
  size_t length = 0, cap = 1 << 20;
  char *bytes = malloc(cap);
  length = fread(bytes, 1, cap, stdin);
  struct exec_file f;
  const char *error = exec_file_parse(bytes, length, &f);
  if (error) {
    printf("%s", error);
    return 1;
  }
  one("exec", f.exec);
  one("arg0", f.arg0);
  all("arg", &f.args);
  if (f.clear_env) one("clearenv", "");
  all("env", &f.env);
  one("workdir", f.workdir);
  one("hostname", f.hostname);
  struct limit limit;
  for (size_t i = 0; i < f.rlimits.n; i++)
    if (limit_parse(f.rlimits.v[i], &limit))
      printf("limit %d %llu %llu%c", limit.resource, (unsigned long long)limit.value.rlim_cur,
             (unsigned long long)limit.value.rlim_max, 0);
  for (size_t i = 0; i < f.mount_count; i++) {
    one("type", f.mounts[i].type);
    one("source", f.mounts[i].source);
    one("options", f.mounts[i].options);
    one("target", f.mounts[i].target);
  }
  all("port", &f.ports);
  if (f.has_uid) printf("uid %u%c", f.uid, 0);
  if (f.has_gid) printf("gid %u%c", f.gid, 0);
  return 0;
}
