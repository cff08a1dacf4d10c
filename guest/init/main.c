/*
 * PID 1 of a krun guest: prepares the machine, runs one program, tells the host its exit code, ends the machine.
 * README.md states the contract; the order below is the order in which things happen.
 */
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { CONFIG_BYTES_MAX = 16 << 20 };

static struct exec_file extra;
static struct config config;
static struct strings env;

static void copy_environment(char **from) {
  for (; *from; from++) env_set(&env, *from, true);
}

/* Read before anything is mounted over the root: the host may let the name exist for a single look-up only. */
static bool read_exec_file(void) {
  const char *path = env_get(&env, "KRUN_EXEC");
  size_t length = 0;
  if (!path) path = ".krun_exec"; /* relative to the root descriptor */
  char *bytes = read_file_at(report_root(), path, CONFIG_BYTES_MAX, &length);
  if (!bytes && errno == ENOENT) return true;
  const char *error = bytes ? exec_file_parse(bytes, length, &extra) : strerror(errno);
  if (error) say("Cannot read /.krun_exec: ", error, NULL);
  return !error;
}

static void read_config(void) {
  const char *path = env_get(&env, "KRUN_CONFIG");
  size_t length = 0;
  char *text = read_file_at(AT_FDCWD, path ? path : "/.krun_config.json", CONFIG_BYTES_MAX, &length);
  if (!text && !path) text = read_file_at(report_root(), ".krun_config.json", CONFIG_BYTES_MAX, &length);
  if (!text) return;
  const struct json *root = json_parse(text, length);
  if (root) config_read(root, &config);
  else say("Cannot use ", path ? path : "/.krun_config.json", ": it is not JSON; continuing without it", NULL);
}

/*
 * Ticks that came late during boot are lost: until the kernel trusts its TSC the clock counts ticks. A file of the root
 * share that was modified "now" says how late it is.
 */
static void set_clock(void) {
  struct stat now;
  if (fstatat(report_root(), ".krun_clock", &now, 0) || now.st_mtim.tv_sec <= 0) return;
  if (clock_settime(CLOCK_REALTIME, &now.st_mtim)) say("Cannot set the clock: ", strerror(errno), NULL);
}

static void rename_env(const char *from, const char *to) {
  const char *value = env_get(&env, from);
  if (value) env_set(&env, join(to, "=", value), true);
}

/* Later sources win, except that the configuration file only fills gaps (HOME and TERM apart: the kernel sets those). */
static void build_environment(void) {
  for (size_t i = 0; i < config.env.n; i++) {
    char *pair = config.env.v[i];
    env_set(&env, pair, !strncmp(pair, "HOME=", 5) || !strncmp(pair, "TERM=", 5));
  }
  rename_env("KRUN_HOME", "HOME");
  rename_env("KRUN_TERM", "TERM");
}

static void set_hostname(void) {
  const char *name = extra.hostname ? extra.hostname : env_get(&env, "HOSTNAME");
  if (!name || !*name) name = "localhost";
  if (sethostname(name, strlen(name))) say("Cannot set the host name ", name, ": ", strerror(errno), NULL);
}

static bool prepare_mounts(void) {
  const char *device = env_get(&env, "KRUN_BLOCK_ROOT_DEVICE");
  if (!mount_basics()) return false;
  if (device && !mount_block_root(device, env_get(&env, "KRUN_BLOCK_ROOT_FSTYPE"), env_get(&env, "KRUN_BLOCK_ROOT_OPTIONS")))
    return false;
  if (mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL)) {
    say("Cannot make the mounts shared: ", strerror(errno), NULL);
    return false;
  }
  return true;
}

static bool extra_mounts(void) {
  for (size_t i = 0; i < config.tmpfs.n; i++) {
    char *target = config.tmpfs.v[i];
    if (is_mounted(target)) continue;
    struct mount_request tmpfs = {(char *)"tmpfs", (char *)"tmpfs", (char *)"noexec,nosuid,nodev,relatime", target};
    if (!mount_requested(&tmpfs)) return false;
    break; /* one is the contract */
  }
  for (size_t i = 0; i < extra.mount_count; i++)
    if (!mount_requested(&extra.mounts[i])) return false;
  return true;
}

/* exec file, KRUN_INIT with the words after "--", configuration file, those words alone, a shell. */
static void choose_argv(char **words, struct strings *argv) {
  char *init = (char *)env_get(&env, "KRUN_INIT");
  const struct strings *from = NULL;
  if (extra.exec || extra.args.n) from = &extra.args;
  else if (!init && config.argv.n) from = &config.argv;
  if (extra.exec) strings_push(argv, extra.exec);
  else if (!from && init) strings_push(argv, init);
  if (from)
    for (size_t i = 0; i < from->n; i++) strings_push(argv, from->v[i]);
  else
    for (; *words; words++) strings_push(argv, *words);
  if (!argv->n) strings_push(argv, (char *)"/bin/sh");
}

static void choose_limits(struct strings *limits) {
  const char *value = env_get(&env, "KRUN_RLIMITS");
  char *copy = value ? join(value, "", "") : NULL;
  for (char *item = copy ? strtok(copy, ",") : NULL; item; item = strtok(NULL, ",")) strings_push(limits, item);
  for (size_t i = 0; i < extra.rlimits.n; i++) strings_push(limits, extra.rlimits.v[i]);
}

static int run(const struct workload *w) {
  const char *alone = env_get(&env, "KRUN_INIT_PID1");
  if (alone && *alone == '1') return workload_exec(w);
  pid_t pid = fork();
  if (pid < 0) {
    say("Cannot start the workload: ", strerror(errno), NULL);
    return CODE_SETUP_FAILED;
  }
  if (!pid) _exit(workload_exec(w));
  return workload_wait(pid, extra.control);
}

int main(int argc, char **argv) {
  (void)argc;
  report_open_root();
  copy_environment(environ);
  if (getpid() != 1) {
    say("Cannot run here: this program is the first process of a krun guest", NULL);
    return CODE_SETUP_FAILED;
  }
  if (!read_exec_file() || !prepare_mounts()) finish(CODE_SETUP_FAILED);
  set_clock();
  console_open();
  network_up(&env);
  read_config();
  if (!extra_mounts()) finish(CODE_SETUP_FAILED);

  struct workload w = {.extra = &extra};
  struct strings command = {0};
  build_environment();
  set_hostname();
  choose_argv(argv[0] ? argv + 1 : argv, &command);
  choose_limits(&w.rlimits);
  const char *workdir = env_get(&env, "KRUN_WORKDIR");
  w.workdir = extra.workdir ? extra.workdir : workdir ? workdir : config.cwd;
  w.argv = command.v;

  struct strings clean = {0};
  struct strings *final = extra.clear_env ? &clean : &env;
  for (size_t i = 0; i < extra.env.n; i++) env_set(final, extra.env.v[i], true);
  if (!final->n) strings_push(final, NULL);
  w.env = final->v;
  finish(run(&w));
}
