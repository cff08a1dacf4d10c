/* PID 1 of the guest: runs /prog, then restarts the machine; hangs for ever when the program failed. */
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void) {
  int status = 1;
  pid_t child = fork();
  if (child == 0) {
    execl("/prog", "/prog", (char *)0);
    _exit(127);
  }
  if (child < 0 || waitpid(child, &status, 0) != child || status != 0) for (;;) pause();
  return reboot(RB_AUTOBOOT);
}
