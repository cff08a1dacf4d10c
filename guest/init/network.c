/* Interfaces up: loopback always, and the address that transparent sockets need. Never fatal. */
#include "init.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static struct ifreq named(const char *name) {
  struct ifreq request = {0};
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  return request;
}

static bool up(int fd, const char *name) {
  struct ifreq request = named(name);
  if (ioctl(fd, SIOCGIFFLAGS, &request)) return false;
  request.ifr_flags |= IFF_UP;
  return !ioctl(fd, SIOCSIFFLAGS, &request);
}

static void set_address(int fd, const char *name, unsigned long what, const char *text) {
  struct ifreq request = named(name);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(text)};
  memcpy(&request.ifr_addr, &address, sizeof address);
  ioctl(fd, what, &request);
}

void network_up(const struct strings *env) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return; /* a kernel without IPv4 */
  if (!up(fd, "lo")) say("Cannot bring up the loopback interface", NULL);

  const char *dhcp = env_get(env, "KRUN_DHCP");
  if (dhcp && !strcmp(dhcp, "1") && up(fd, "eth0")) dhcp_configure();

  /* With tsi_hijack every address is reachable through the host, but programs look for a non-loopback interface. */
  char *cmdline = read_file_at(AT_FDCWD, "/proc/cmdline", 64 << 10, NULL);
  if (cmdline && cmdline_has(cmdline, "tsi_hijack") && up(fd, "dummy0")) {
    set_address(fd, "dummy0", SIOCSIFADDR, "203.0.113.1");
    set_address(fd, "dummy0", SIOCSIFNETMASK, "255.255.255.0");
  }
  close(fd);
}
