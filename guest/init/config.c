/* What /.krun_config.json asks for: an OCI runtime configuration, flat keys, or an image configuration. */
#include "init.h"

#include <string.h>

static const struct json *first_of(const struct json *object, const char *const *keys) {
  for (; *keys; keys++) {
    const struct json *found = json_get(object, *keys);
    if (found && found->type != JSON_NULL) return found;
  }
  return NULL;
}

static void append(const struct json *array, struct strings *to) {
  if (!array || array->type != JSON_ARRAY) return;
  for (const struct json *item = array->child; item; item = item->next)
    if (item->type == JSON_STRING) strings_push(to, item->string);
}

static bool says(const struct json *object, const char *key, const char *text) {
  const struct json *found = json_get(object, key);
  return found && found->type == JSON_STRING && !strcmp(found->string, text);
}

static void read_tmpfs(const struct json *mounts, struct strings *to) {
  if (!mounts || mounts->type != JSON_ARRAY) return;
  for (const struct json *m = mounts->child; m; m = m->next) {
    const struct json *destination = json_get(m, "destination");
    if (destination && destination->type == JSON_STRING && says(m, "type", "tmpfs") && says(m, "source", "tmpfs"))
      strings_push(to, destination->string);
  }
}

void config_read(const struct json *root, struct config *out) {
  const struct json *process = json_get(root, "process");
  const struct json *from = process ? process : root;
  *out = (struct config){0};
  if (!process) append(json_get(root, "Entrypoint"), &out->argv);
  append(first_of(from, (const char *const[]){"args", process ? NULL : "Cmd", NULL}), &out->argv);
  append(first_of(from, (const char *const[]){"env", process ? NULL : "Env", NULL}), &out->env);
  const struct json *cwd = first_of(from, (const char *const[]){"cwd", process ? NULL : "WorkingDir", "Cwd", NULL});
  if (cwd && cwd->type == JSON_STRING && *cwd->string) out->cwd = cwd->string;
  read_tmpfs(json_get(root, "mounts"), &out->tmpfs);
}
