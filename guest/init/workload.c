/* The program the machine exists for: its process attributes, its start, and the wait for its end. */
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

static int setup_failed(const char *what, const char *value) {
  say("Cannot ", what, " ", value, ": ", strerror(errno), NULL);
  return CODE_SETUP_FAILED;
}

/* Numbers and resources the kernel does not know are skipped, as KRUN_RLIMITS always did. */
static void apply_limits(const struct strings *items) {
  struct limit limit;
  for (size_t i = 0; i < items->n; i++)
    if (limit_parse(items->v[i], &limit)) setrlimit(limit.resource, &limit.value);
}

static bool become_user(const struct exec_file *extra) {
  if (extra->has_gid && (setgroups(0, NULL) || setgid(extra->gid))) return false;
  if (extra->has_uid && setuid(extra->uid)) return false;
  return true;
}

static int cannot_run(const char *program) {
  int error = errno;
  const char *why = strerror(error);
  if (error == ENOENT && strchr(program, '/') && !access(program, F_OK))
    why = "the file exists, but its interpreter or dynamic loader does not";
  say("Cannot run ", program, ": ", why, NULL);
  return error == ENOENT ? CODE_NOT_FOUND : CODE_NOT_EXECUTABLE;
}

/* Runs in the child, or in PID 1 itself with KRUN_INIT_PID1. Limits come last so that they hit the program alone. */
int workload_exec(const struct workload *w) {
  /* A session of its own with the console as its terminal: job control, and Ctrl-C reaches its foreground group. */
  setsid();
  ioctl(0, TIOCSCTTY, 1);
  if (!console_redirect(&w->extra->ports)) return CODE_SETUP_FAILED;
  if (w->workdir && chdir(w->workdir)) return setup_failed("change to the working directory", w->workdir);
  apply_limits(&w->rlimits);
  if (!become_user(w->extra)) return setup_failed("become the user of", w->argv[0]);
  const char *program = w->argv[0];
  if (w->extra->exec && w->extra->arg0) w->argv[0] = w->extra->arg0;
  environ = w->env;
  execvp(program, w->argv);
  return cannot_run(program);
}

/* Reaps whatever was left to PID 1 until the workload itself ends; returns the code to report. */
int workload_wait(int pid, const char *control) {
  if (control) control_start(control, pid);
  for (;;) {
    int status;
    pid_t gone = waitpid(-1, &status, 0);
    if (gone < 0 && errno == EINTR) continue;
    if (gone < 0) return setup_failed("wait for", "the workload");
    if (gone != pid) continue;
    if (WIFEXITED(status)) return WEXITSTATUS(status);
    /* A host that looks at eight bits sees 128 + n; ours also learns that it was a signal. */
    if (WIFSIGNALED(status)) return WTERMSIG(status) << 8 | (128 + WTERMSIG(status));
  }
}
