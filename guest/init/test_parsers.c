/* Host-side tests of everything in init that reads text from elsewhere. Built with the sanitizers by `make test`. */
#include "init.h"

#include <arpa/inet.h>
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

static const struct dhcp_client CLIENT = {0x04030201, {2, 0, 0, 0, 0, 9}};

/* An answer for CLIENT: the fixed part and the given options. */
static size_t answer(unsigned char *message, const char *options, size_t length) {
  dhcp_write(message, &CLIENT, NULL);
  message[0] = 2;
  memcpy(message + 16, "\012\0\0\5", 4);
  memcpy(message + 240, options, length);
  return 240 + length;
}

static bool reads(const char *options, size_t length, struct dhcp_lease *lease) {
  unsigned char message[DHCP_BYTES];
  size_t bytes = answer(message, options, length);
  char *exact = copy((char *)message, bytes);
  bool ok = dhcp_read((unsigned char *)exact, bytes, &CLIENT, lease);
  free(exact);
  return ok;
}
#define READS(options, lease) reads(options, sizeof(options) - 1, lease)

static void test_dhcp_requests(void) {
  unsigned char message[DHCP_BYTES];
  struct dhcp_lease offer = {.address = htonl(0x0a000005), .server = htonl(0x0a000001)};
  dhcp_write(message, &CLIENT, NULL);
  CHECK(!memcmp(message, "\1\1\6\0\1\2\3\4", 8) && message[10] == 0x80 && !memcmp(message + 28, CLIENT.mac, 6));
  CHECK(!memcmp(message + 236, "\x63\x82\x53\x63\x35\1\1\x37\4\1\3\6\x1a\x50\0\xff", 16));
  dhcp_write(message, &CLIENT, &offer);
  CHECK(!memcmp(message + 240, "\x35\1\3\x37\4\1\3\6\x1a\x32\4\012\0\0\5\x36\4\012\0\0\1\xff", 22));
}

static void test_dhcp_answers(void) {
  struct dhcp_lease l;
  CHECK(READS("\x35\1\5\0\1\4\xff\xff\xf0\xff\3\4\012\0\0\1\6\x8\1\1\1\1\2\2\2\2\x1a\2\xff\xf0\x36\4\012\0\0\2\xff", &l));
  CHECK(l.type == DHCP_ACK && l.address == htonl(0x0a000005) && l.mask == htonl(0xfffff000));
  CHECK(l.router == htonl(0x0a000001) && l.server == htonl(0x0a000002) && l.mtu == 65520);
  CHECK(l.dns_count == 2 && l.dns[1] == htonl(0x02020202));
  CHECK(READS("\x35\1\2", &l) && l.type == DHCP_OFFER && !l.mask && !l.router && !l.server && !l.dns_count);
  CHECK(!READS("\x35\1\6\xff", &l)); /* a refusal */
  CHECK(!READS("\xff", &l));          /* no type */
  CHECK(!READS("\x35\1\2\6", &l));   /* cut */
  CHECK(!READS("\x35\1\2\6\5abcd", &l));

  unsigned char message[DHCP_BYTES];
  struct dhcp_client other = {5, {2, 0, 0, 0, 0, 9}};
  size_t length = answer(message, "\x35\1\2\xff", 4);
  CHECK(!dhcp_read(message, length, &other, &l));
  CHECK(!dhcp_read(message, 239, &CLIENT, &l));
}

static bool is_answer(const char *packet, size_t length) {
  size_t bytes = 0;
  uint32_t source = 0;
  char *exact = copy(packet, length);
  const unsigned char *payload = dhcp_payload((unsigned char *)exact, length, &bytes, &source);
  bool ok = payload && bytes == 2 && !memcmp(payload, "hi", 2) && source == htonl(0x0a000001);
  free(exact);
  return ok;
}

static void test_dhcp_packets(void) {
  char packet[] = "\x45\0\0\x1e\0\0\x40\0\x40\x11\0\0\012\0\0\1\012\0\0\5\0\x43\0\x44\0\x0a\0\0hi";
  size_t length = sizeof packet - 1;
  CHECK(is_answer(packet, length));
  for (size_t cut = 0; cut < length; cut++) CHECK(!is_answer(packet, cut));
  static const int WRONG[][2] = {{0, 0x65}, {0, 0x46}, {0, 0x44}, {6, 0x20}, {7, 1}, {9, 6}, {22, 1}, {23, 67}, {25, 7}, {25, 11}};
  for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++) {
    char was = packet[WRONG[i][0]];
    packet[WRONG[i][0]] = (char)WRONG[i][1];
    CHECK(!is_answer(packet, length));
    packet[WRONG[i][0]] = was;
  }
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
    unsigned char message[DHCP_BYTES];
    char options[60];
    struct dhcp_lease lease;
    for (size_t i = 0; i < sizeof options; i++) options[i] = (char)(random_below(2) ? random_below(9) : random_below(256));
    answer(message, options, sizeof options);
    size_t cut = random_below(sizeof message + 1);
    dhcp_read((unsigned char *)copy((char *)message, cut), cut, &CLIENT, &lease);
    message[0] = 0x45;
    is_answer((char *)message, cut);
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
  test_dhcp_requests();
  test_dhcp_answers();
  test_dhcp_packets();
  test_damaged_input_stays_inside_its_bytes();
  printf("%d checks, %d failures\n", checks, failures);
  return failures != 0;
}
