/* What an exit costs without JavaScript: the same vCPU, the same guest, the least a VMM can do. */
#include <linux/kvm.h>
#include <sys/ioctl.h>

/* Serves `count` port writes; returns how many came. `sum` is what a device would do with them. */
int serve(int fd, struct kvm_run *run, int count, unsigned *sum) {
  int served = 0;
  while (served < count && ioctl(fd, KVM_RUN, 0) == 0 && run->exit_reason == KVM_EXIT_IO) {
    *sum += ((unsigned char *)run)[run->io.data_offset];
    served++;
  }
  return served;
}
