/* Guest init of krun: shared declarations. See README.md for the contract with the host. */
#ifndef KRUN_INIT_H
#define KRUN_INIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

/* Exit codes that say the workload never ran; everything else is the workload's own. */
enum { CODE_SETUP_FAILED = 125, CODE_NOT_EXECUTABLE = 126, CODE_NOT_FOUND = 127 };

/* A growing list of strings; v[n] is always NULL once something was pushed. */
struct strings {
  char **v;
  size_t n, cap;
};

/* strings.c */
void *must_alloc(size_t bytes);
void strings_push(struct strings *list, char *s);
char *join(const char *a, const char *b, const char *c);
/* Sets one "K=V"; without `overwrite` a name that is already there keeps its value. */
void env_set(struct strings *env, char *pair, bool overwrite);
const char *env_get(const struct strings *env, const char *name);

/* exec-file.c: /.krun_exec, the lossless channel (README.md, "The exec file"). */
struct mount_request {
  char *type, *source, *options, *target;
};
struct exec_file {
  char *exec, *arg0, *workdir, *hostname, *control;
  struct strings args, env, rlimits, ports;
  struct mount_request *mounts;
  size_t mount_count;
  bool clear_env, has_uid, has_gid;
  unsigned uid, gid;
};
/* Parses in place: every string of `out` points into `bytes`. Returns NULL, or what is wrong. */
const char *exec_file_parse(char *bytes, size_t length, struct exec_file *out);

/* json.c: the small part of JSON access that configuration files need. */
enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };
struct json {
  enum json_type type;
  char *key;    /* name inside an object, else NULL */
  char *string; /* JSON_STRING: decoded text, cut at an embedded NUL */
  struct json *child, *next;
};
/* Returns the tree, or NULL when the text is not one complete JSON value. */
struct json *json_parse(const char *text, size_t length);
const struct json *json_get(const struct json *object, const char *key);

/* config.c: /.krun_config.json in its OCI, flat and image shapes. */
struct config {
  struct strings argv, env;
  char *cwd;
  struct strings tmpfs; /* every destination with type and source tmpfs, in order */
};
void config_read(const struct json *root, struct config *out);

/* tokens.c: the little languages of KRUN_* values. */
struct limit {
  int resource;
  struct rlimit value;
};
/* "ID=CUR:MAX" or "ID:CUR:MAX"; stray quotes are dropped. */
bool limit_parse(const char *item, struct limit *out);
/* Whether /proc/cmdline has `token` as a whole word before a lone "--". */
bool cmdline_has(const char *cmdline, const char *token);
/* "ro,noatime,data=x" to mount(2) flags; what is no flag is left, comma-joined, in `data` (size >= strlen+1). */
unsigned long mount_flags(const char *options, char *data);

/* mounts.c */
extern bool block_root; /* "/" is a disk that init mounted */
bool mount_basics(void);
bool mount_block_root(const char *device, const char *type, const char *options);
bool mount_requested(const struct mount_request *request);
bool is_mounted(const char *destination);

/* network.c */
void network_up(const struct strings *env);

/* dhcp-message.c: addresses are in network order. */
enum { DHCP_BYTES = 300, DHCP_DNS_MAX = 8, DHCP_SERVER_PORT = 67, DHCP_CLIENT_PORT = 68 };
enum { DHCP_DISCOVER = 1, DHCP_OFFER = 2, DHCP_REQUEST = 3, DHCP_ACK = 5 };
struct dhcp_client {
  uint32_t xid;
  unsigned char mac[6];
};
struct dhcp_lease {
  int type;
  uint32_t address, mask, router, server; /* 0: not told */
  unsigned mtu;                           /* 0: not told */
  uint32_t dns[DHCP_DNS_MAX];
  size_t dns_count;
};
/* Discovers a server or, with its offer, requests what it offered. */
void dhcp_write(unsigned char message[DHCP_BYTES], const struct dhcp_client *client, const struct dhcp_lease *offer);
/* The datagram in an IPv4 packet to a DHCP client, and who sent it; NULL when it is something else. */
const unsigned char *dhcp_payload(const unsigned char *packet, size_t length, size_t *payload_length, uint32_t *source);
/* Whether this is an offer or an acknowledgement for us. */
bool dhcp_read(const unsigned char *message, size_t length, const struct dhcp_client *client, struct dhcp_lease *lease);

/* dhcp.c */
void dhcp_configure(void);

/* console.c */
void console_open(void);
bool console_redirect(const struct strings *required);
/* Opens the console port of that name for reading; -1 while there is none. */
int console_port(const char *name);

/* files.c */
char *read_file_at(int dir, const char *path, size_t max, size_t *length);

/* report.c */
void report_open_root(void);
int report_root(void);
/* Writes "krun init: " and the strings up to NULL as one line to standard error. */
void say(const char *first, ...) __attribute__((sentinel));
_Noreturn void finish(int code);
void report_exit_code(int code);

/* workload.c */
struct workload {
  char **argv, **env;
  const char *workdir;
  struct strings rlimits;
  const struct exec_file *extra;
};
/* Replaces the process; returns the exit code to report when that fails. */
int workload_exec(const struct workload *w);
int workload_wait(int pid, const char *control);

/* control.c */
/* A process of its own that hands the host's wish for an end to the workload. */
void control_start(const char *port, int workload);

#endif
