/* A JSON reader (RFC 8259) for configuration files: a tree of nodes, depth bounded, strings decoded to UTF-8. */
#include "init.h"

#include <string.h>

enum { DEPTH_MAX = 64 };

struct reader {
  const char *at, *end;
};

static struct json *value(struct reader *r, int depth);

static void space(struct reader *r) {
  while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r')) r->at++;
}

static bool take(struct reader *r, char c) {
  space(r);
  if (r->at >= r->end || *r->at != c) return false;
  r->at++;
  return true;
}

static bool word(struct reader *r, const char *w) {
  size_t n = strlen(w);
  if ((size_t)(r->end - r->at) < n || memcmp(r->at, w, n)) return false;
  r->at += n;
  return true;
}

static int hex4(struct reader *r) {
  int n = 0;
  if (r->end - r->at < 4) return -1;
  for (int i = 0; i < 4; i++) {
    char c = *r->at++;
    int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
    if (digit < 0) return -1;
    n = n * 16 + digit;
  }
  return n;
}

static char *utf8(char *to, unsigned c) {
  if (c < 0x80) *to++ = (char)c;
  else if (c < 0x800) *to++ = (char)(0xc0 | c >> 6), *to++ = (char)(0x80 | (c & 63));
  else {
    if (c < 0x10000) *to++ = (char)(0xe0 | c >> 12);
    else *to++ = (char)(0xf0 | c >> 18), *to++ = (char)(0x80 | (c >> 12 & 63));
    *to++ = (char)(0x80 | (c >> 6 & 63)), *to++ = (char)(0x80 | (c & 63));
  }
  return to;
}

/* After "\u": one code point, pairing surrogates; a lone surrogate becomes U+FFFD. */
static char *unicode(struct reader *r, char *to) {
  int c = hex4(r);
  if (c < 0) return NULL;
  if (c >= 0xd800 && c < 0xdc00 && r->end - r->at >= 6 && r->at[0] == '\\' && r->at[1] == 'u') {
    struct reader ahead = {r->at + 2, r->end};
    int low = hex4(&ahead);
    if (low >= 0xdc00 && low < 0xe000) {
      r->at = ahead.at;
      return utf8(to, 0x10000u + ((unsigned)(c - 0xd800) << 10) + (unsigned)(low - 0xdc00));
    }
  }
  return utf8(to, c >= 0xd800 && c < 0xe000 ? 0xfffd : (unsigned)c);
}

static char *string(struct reader *r) {
  if (!take(r, '"')) return NULL;
  const char *close = r->at;
  while (close < r->end && *close != '"') close += *close == '\\' ? 2 : 1;
  if (close >= r->end) return NULL;
  /* An escape never decodes to more bytes than it has characters, so the encoded length is enough. */
  char *s = must_alloc((size_t)(close - r->at) + 1), *to = s;
  while (r->at < close) {
    char c = *r->at++;
    if ((unsigned char)c < 0x20) return NULL;
    if (c != '\\') {
      *to++ = c;
      continue;
    }
    c = *r->at++;
    static const char FROM[] = "\"\\/bfnrt", TO[] = "\"\\/\b\f\n\r\t";
    const char *simple = c ? strchr(FROM, c) : NULL;
    if (simple) *to++ = TO[simple - FROM];
    else if (c != 'u' || !(to = unicode(r, to))) return NULL;
  }
  r->at = close + 1;
  return s;
}

static bool members(struct reader *r, struct json *parent, int depth, char close) {
  struct json **tail = &parent->child;
  if (take(r, close)) return true;
  do {
    char *key = NULL;
    if (parent->type == JSON_OBJECT && (!(key = string(r)) || !take(r, ':'))) return false;
    struct json *child = value(r, depth + 1);
    if (!child) return false;
    child->key = key;
    *tail = child;
    tail = &child->next;
  } while (take(r, ','));
  return take(r, close);
}

static size_t digits(struct reader *r) {
  size_t n = 0;
  for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++) n++;
  return n;
}

static bool numeral(struct reader *r) {
  word(r, "-");
  bool zero = r->at < r->end && *r->at == '0';
  size_t whole = digits(r);
  if (!whole || (zero && whole > 1)) return false;
  if (word(r, ".") && !digits(r)) return false;
  if (!word(r, "e") && !word(r, "E")) return true;
  if (!word(r, "+")) word(r, "-");
  return digits(r) > 0;
}

static struct json *value(struct reader *r, int depth) {
  space(r);
  if (r->at >= r->end || depth > DEPTH_MAX) return NULL;
  struct json *node = must_alloc(sizeof *node);
  bool ok;
  switch (*r->at) {
  case '{': r->at++, node->type = JSON_OBJECT, ok = members(r, node, depth, '}'); break;
  case '[': r->at++, node->type = JSON_ARRAY, ok = members(r, node, depth, ']'); break;
  case '"': node->type = JSON_STRING, ok = (node->string = string(r)) != NULL; break;
  case 't': node->type = JSON_BOOL, ok = word(r, "true"); break;
  case 'f': node->type = JSON_BOOL, ok = word(r, "false"); break;
  case 'n': node->type = JSON_NULL, ok = word(r, "null"); break;
  default: node->type = JSON_NUMBER, ok = numeral(r);
  }
  return ok ? node : NULL;
}

struct json *json_parse(const char *text, size_t length) {
  struct reader r = {text, text + length};
  struct json *root = value(&r, 0);
  space(&r);
  return r.at == r.end ? root : NULL;
}

const struct json *json_get(const struct json *object, const char *key) {
  if (!object || object->type != JSON_OBJECT) return NULL;
  const struct json *found = NULL; /* the last of equal names wins */
  for (const struct json *c = object->child; c; c = c->next)
    if (!strcmp(c->key, key)) found = c;
  return found;
}
