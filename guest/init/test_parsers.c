/* Host-side tests of everything in init that reads text from elsewhere. Built with the sanitizers by `make test`. */
#include "init.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

/* report.c needs a guest; the parsers need only these two of it. */
void say(const char *first, ...) { fprintf(stderr, "say: %s\n", first); }
_Noreturn void finish(int code) { exit(code); }

static int checks, failures;

#define CHECK(condition)                                                                                               \
  do {                                                                                                                 \
    checks++;                                                                                                          \
    if (!(condition)) failures++, fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                      \
  } while (0)

static bool same(const char *a, const char *b) { return a && !strcmp(a, b); }
#define SAME(a, b) CHECK(same(a, b))

/* A heap copy of exactly the given bytes, so that the address sanitizer sees one byte too far. */
static char *copy(const char *bytes, size_t length) {
  char *p = malloc(length ? length : 1);
  if (length) memcpy(p, bytes, length);
  return p;
}

static const char *parse(const char *bytes, size_t length, struct exec_file *out) {
  return exec_file_parse(copy(bytes, length), length, out);
}
#define PARSE(text, out) parse(text, sizeof(text) - 1, out)
#define MAGIC "KRUN-EXEC-1\0"

static void test_exec_file_carries_any_bytes_but_nul(void) {
  struct exec_file f;
  CHECK(!PARSE(MAGIC "exec=/bin/a b\0arg=\0arg=x=\"1\"\n\0arg=\xff\xc3\xa9\0env=A=b=c\0clearenv=\0workdir=/w\0"
                     "hostname=h\0rlimit=7=1:2\0port=krun-stdin\0uid=1000\0gid=0\0end\0", &f));
  SAME(f.exec, "/bin/a b");
  CHECK(f.args.n == 3);
  SAME(f.args.v[0], "");
  SAME(f.args.v[1], "x=\"1\"\n");
  SAME(f.args.v[2], "\xff\xc3\xa9");
  CHECK(f.args.v[3] == NULL);
  CHECK(f.env.n == 1);
  SAME(f.env.v[0], "A=b=c");
  CHECK(f.clear_env && f.has_uid && f.uid == 1000 && f.has_gid && f.gid == 0);
  SAME(f.workdir, "/w");
  SAME(f.hostname, "h");
  SAME(f.rlimits.v[0], "7=1:2");
  SAME(f.ports.v[0], "krun-stdin");
}

static void test_exec_file_mounts(void) {
  struct exec_file f;
  CHECK(!PARSE(MAGIC "mount.type=virtiofs\0mount.source=data\0mount.options=ro\0mount=/mnt/a b\0"
                     "mount.type=tmpfs\0mount.source=tmpfs\0mount=/tmp\0end\0", &f));
  CHECK(f.mount_count == 2);
  SAME(f.mounts[0].source, "data");
  SAME(f.mounts[0].target, "/mnt/a b");
  SAME(f.mounts[1].type, "tmpfs");
  CHECK(f.mounts[1].options == NULL); /* keys of one mount do not leak into the next */
  CHECK(PARSE(MAGIC "mount=/tmp\0end\0", &f));
  CHECK(PARSE(MAGIC "mount.type=a\0mount.source=b\0mount=relative\0end\0", &f));
}

static void test_exec_file_refuses_damage(void) {
  struct exec_file f;
  CHECK(PARSE("", &f));
  CHECK(PARSE("KRUN-EXEC-1", &f));
  CHECK(PARSE("KRUN-EXEC-2\0end\0", &f));
  CHECK(PARSE(MAGIC, &f));
  CHECK(PARSE(MAGIC "exec=/bin/sh\0", &f));
  CHECK(PARSE(MAGIC "exec=/bin/sh\0en", &f));
  CHECK(PARSE(MAGIC "exec=/bin/sh\0end", &f));
  CHECK(PARSE(MAGIC "end\0more", &f));
  CHECK(PARSE(MAGIC "end=\0", &f));
  CHECK(PARSE(MAGIC "bogus=1\0end\0", &f));
  CHECK(PARSE(MAGIC "exec\0end\0", &f));
  CHECK(PARSE(MAGIC "\0end\0", &f));
  CHECK(PARSE(MAGIC "env==x\0end\0", &f));
  CHECK(PARSE(MAGIC "env=x\0end\0", &f));
  CHECK(PARSE(MAGIC "uid=\0end\0", &f));
  CHECK(PARSE(MAGIC "uid=-1\0end\0", &f));
  CHECK(PARSE(MAGIC "gid=4294967295\0end\0", &f));
  CHECK(!PARSE(MAGIC "end\0", &f));
}

static void test_every_truncation_of_an_exec_file_is_refused(void) {
  static const char whole[] = MAGIC "exec=/bin/sh\0arg=-c\0env=A=1\0uid=1\0end\0";
  struct exec_file f;
  for (size_t n = 0; n < sizeof whole - 1; n++) CHECK(parse(whole, n, &f));
  CHECK(!parse(whole, sizeof whole - 1, &f));
}

static void test_environment(void) {
  struct strings env = {0};
  env_set(&env, (char *)"A=1", true);
  env_set(&env, (char *)"AB=2", true);
  env_set(&env, (char *)"A=3", false);
  SAME(env_get(&env, "A"), "1");
  env_set(&env, (char *)"A=4", true);
  SAME(env_get(&env, "A"), "4");
  SAME(env_get(&env, "AB"), "2");
  env_set(&env, (char *)"=x", true);
  env_set(&env, (char *)"novalue", true);
  CHECK(env.n == 2 && !env_get(&env, "B"));
}

static const struct json *json(const char *text) {
  size_t n = strlen(text);
  return json_parse(copy(text, n), n);
}

static void test_json_reads_what_rfc_8259_allows(void) {
  SAME(json_get(json(" {\"a\" : [ 1, -0.5e+3, true, null ] , \"b\":\"x\"} "), "b")->string, "x");
  SAME(json("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"")->string, "\"\\/\b\f\n\r\t");
  SAME(json("\"\\u00e9\\u20ac\\ud83d\\ude00\"")->string, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
  SAME(json("\"\\ud83d\"")->string, "\xef\xbf\xbd");
  SAME(json_get(json("{\"a\":\"1\",\"a\":\"2\"}"), "a")->string, "2");
  CHECK(json("[]") && json("{}") && json("0"));
}

static void test_json_refuses_everything_else(void) {
  static const char *const BAD[] = {"",       "{",      "[1,",    "[1,]",       "{\"a\"}",  "{\"a\":}", "{a:1}",   "01",
                                    "1.",     "-",      "1e",     "tru",        "\"",       "\"\\\"",   "\"\\x\"", "\"\\u12\"",
                                    "\"\n\"", "1 2",    "[1}",    "\"\\u12G4\"", "\"\\",    "nul",      "+1",      "]"};
  for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) CHECK(!json(BAD[i]));
  char deep[400];
  memset(deep, '[', 200), memset(deep + 200, ']', 200);
  CHECK(!json_parse(deep, sizeof deep));
}

static struct config config_of(const char *text) {
  struct config c;
  config_read(json(text), &c);
  return c;
}

static void test_configuration_shapes(void) {
  struct config c = config_of("{\"process\":{\"args\":[\"a\",\"b\"],\"env\":[\"K=V\"],\"cwd\":\"/d\"},\"Cmd\":[\"no\"],\"Entrypoint\":[\"no\"]}");
  CHECK(c.argv.n == 2 && c.env.n == 1);
  SAME(c.argv.v[1], "b");
  SAME(c.cwd, "/d");
  c = config_of("{\"Entrypoint\":[\"e\"],\"Cmd\":[\"c\"],\"Env\":[\"K=V\"],\"WorkingDir\":\"/w\"}");
  CHECK(c.argv.n == 2 && c.env.n == 1);
  SAME(c.argv.v[0], "e");
  SAME(c.argv.v[1], "c");
  SAME(c.cwd, "/w");
  c = config_of("{\"Entrypoint\":[\"e\"]}");
  CHECK(c.argv.n == 1 && !c.cwd);
  c = config_of("{\"args\":[],\"env\":null,\"Cmd\":[\"later\"],\"cwd\":5}");
  CHECK(c.argv.n == 0 && c.env.n == 0 && !c.cwd);
  c = config_of("[1]");
  CHECK(c.argv.n == 0);
  c = config_of("{\"mounts\":[{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
                "{\"destination\":\"/tmp\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"},{\"type\":\"tmpfs\",\"source\":\"tmpfs\"}]}");
  CHECK(c.tmpfs.n == 1);
  SAME(c.tmpfs.v[0], "/tmp");
}

static void test_limits(void) {
  struct limit l;
  CHECK(limit_parse("7=1024:4096", &l) && l.resource == 7 && l.value.rlim_cur == 1024 && l.value.rlim_max == 4096);
  CHECK(limit_parse("6:1:2", &l) && l.resource == 6);
  CHECK(limit_parse("\"6=1:2\"", &l));
  CHECK(limit_parse("9=18446744073709551615:18446744073709551615", &l) && l.value.rlim_max == RLIM_INFINITY);
  CHECK(!limit_parse("", &l) && !limit_parse("7", &l) && !limit_parse("7=1", &l) && !limit_parse("7=1:", &l));
  CHECK(!limit_parse("NOFILE=1:2", &l) && !limit_parse("7=-1:2", &l) && !limit_parse("7=1:2x", &l) && !limit_parse("99=1:2", &l));
}

static void test_cmdline_words(void) {
  CHECK(cmdline_has("a tsi_hijack b\n", "tsi_hijack"));
  CHECK(cmdline_has("tsi_hijack", "tsi_hijack"));
  CHECK(!cmdline_has("tsi_hijack_unix notsi_hijack", "tsi_hijack"));
  CHECK(!cmdline_has("a -- tsi_hijack", "tsi_hijack"));
  CHECK(!cmdline_has("", "tsi_hijack") && !cmdline_has("\n", "tsi_hijack"));
}

static void test_mount_options(void) {
  char data[64];
  CHECK(mount_flags("ro,nosuid", data) == (MS_RDONLY | MS_NOSUID));
  SAME(data, "");
  CHECK(mount_flags("noatime,size=1m,,mode=0700", data) == MS_NOATIME);
  SAME(data, "size=1m,mode=0700");
  CHECK(mount_flags("ro,rw,defaults", data) == 0);
  CHECK(mount_flags("", data) == 0);
  SAME(data, "");
}

static void test_strings(void) {
  struct strings list = {0};
  for (int i = 0; i < 100; i++) strings_push(&list, (char *)"x");
  CHECK(list.n == 100 && list.v[100] == NULL);
  SAME(join("a", "", "b"), "ab");
}

/* xorshift, so that a failure comes back with the same run. */
static unsigned random_below(unsigned n) {
  static unsigned state = 2463534242u;
  state ^= state << 13, state ^= state >> 17, state ^= state << 5;
  return state % n;
}

/* The sanitizers are the judges here: whatever the bytes, nothing is read outside of them and the parser returns. */
static void test_damaged_input_stays_inside_its_bytes(void) {
  static const char exec_file[] = MAGIC "exec=/bin/sh\0arg=-c\0env=A=1\0uid=1\0mount.type=a\0mount.source=b\0mount=/c\0end\0";
  static const char text[] = "{\"process\":{\"args\":[\"a\\u00e9\\n\",\"b\"],\"env\":[\"K=V\"]},\"mounts\":[{\"type\":\"tmpfs\"}],\"n\":-1.5e3}";
  for (int run = 0; run < 20000; run++) {
    bool json_turn = run & 1;
    size_t whole = json_turn ? sizeof text - 1 : sizeof exec_file - 1;
    size_t length = random_below(4) ? whole : random_below((unsigned)whole);
    char *bytes = copy(json_turn ? text : exec_file, length);
    for (unsigned n = random_below(4); n > 0 && length > 0; n--)
      bytes[random_below((unsigned)length)] = (char)(random_below(2) ? random_below(256) : (unsigned)"\\\"{}[],:=\0u9"[random_below(13)]);
    struct exec_file f;
    struct config c;
    if (json_turn) config_read(json_parse(bytes, length), &c);
    else exec_file_parse(bytes, length, &f);
    checks++;
    free(bytes);
  }
}

int main(void) {
  test_exec_file_carries_any_bytes_but_nul();
  test_exec_file_mounts();
  test_exec_file_refuses_damage();
  test_every_truncation_of_an_exec_file_is_refused();
  test_environment();
  test_json_reads_what_rfc_8259_allows();
  test_json_refuses_everything_else();
  test_configuration_shapes();
  test_limits();
  test_cmdline_words();
  test_mount_options();
  test_strings();
  test_damaged_input_stays_inside_its_bytes();
  printf("%d checks, %d failures\n", checks, failures);
  return failures != 0;
}
