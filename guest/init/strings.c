/* String lists and the environment. Nothing is freed: PID 1 builds each of these once. */
#include "init.h"

#include <stdlib.h>
#include <string.h>

void *must_alloc(size_t bytes) {
  void *p = calloc(1, bytes ? bytes : 1);
  if (!p) {
    say("Cannot set up the guest: out of memory", NULL);
    finish(CODE_SETUP_FAILED);
  }
  return p;
}

void strings_push(struct strings *list, char *s) {
  if (list->n + 2 > list->cap) {
    size_t cap = list->cap ? list->cap * 2 : 16;
    char **v = must_alloc(cap * sizeof *v);
    if (list->n) memcpy(v, list->v, list->n * sizeof *v);
    free(list->v);
    list->v = v;
    list->cap = cap;
  }
  list->v[list->n++] = s;
  list->v[list->n] = NULL;
}

char *join(const char *a, const char *b, const char *c) {
  size_t la = strlen(a), lb = strlen(b), lc = strlen(c);
  char *s = must_alloc(la + lb + lc + 1);
  memcpy(s, a, la);
  memcpy(s + la, b, lb);
  memcpy(s + la + lb, c, lc + 1);
  return s;
}

static char **find(const struct strings *env, const char *name, size_t length) {
  for (size_t i = 0; i < env->n; i++)
    if (!strncmp(env->v[i], name, length) && env->v[i][length] == '=') return &env->v[i];
  return NULL;
}

void env_set(struct strings *env, char *pair, bool overwrite) {
  const char *equals = strchr(pair, '=');
  if (!equals || equals == pair) return;
  char **old = find(env, pair, (size_t)(equals - pair));
  if (!old) strings_push(env, pair);
  else if (overwrite) *old = pair;
}

const char *env_get(const struct strings *env, const char *name) {
  size_t length = strlen(name);
  char **pair = find(env, name, length);
  return pair ? *pair + length + 1 : NULL;
}
