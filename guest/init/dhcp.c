/* eth0 by DHCP: one lease, never renewed. Everything in here that fails is said and survived. */
#include "init.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/route.h>
#include <netpacket/packet.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char NAME[] = "eth0";
enum { ANSWER_BYTES_MAX = 2048 };
/* How long an answer is waited for at first and at last; each try takes twice as long as the one before. */
enum { PATIENCE_MS = 100, PATIENCE_MS_MAX = 1600 };
enum { MTU_MIN = 1280, MTU_MAX = 65520, MTU_ETHERNET = 1500 };

static struct ifreq named(void) {
  struct ifreq request = {0};
  memcpy(request.ifr_name, NAME, sizeof NAME);
  return request;
}

static bool failed(const char *what) {
  say("Cannot configure ", NAME, ": ", what, ": ", strerror(errno), NULL);
  return false;
}

static struct sockaddr_in inet_address(uint32_t address, int port) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port), .sin_addr.s_addr = address};
  return to;
}

/* Where to ask, and where answers come. */
struct channel {
  int udp, packets;
};

/*
 * Some servers answer to the address that they offer, whatever was asked for; nobody has it yet. So answers are taken
 * from the interface itself.
 */
static bool open_channel(struct channel *c) {
  int one = 1;
  struct sockaddr_in own = inet_address(htonl(INADDR_ANY), DHCP_CLIENT_PORT);
  struct sockaddr_ll interface = {.sll_family = AF_PACKET, .sll_protocol = htons(ETHERTYPE_IP)};
  interface.sll_ifindex = (int)if_nametoindex(NAME);
  c->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  c->packets = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  return c->udp >= 0 && c->packets >= 0 && !setsockopt(c->udp, SOL_SOCKET, SO_BROADCAST, &one, sizeof one) &&
         !setsockopt(c->udp, SOL_SOCKET, SO_BINDTODEVICE, NAME, sizeof NAME) &&
         !bind(c->udp, (struct sockaddr *)&own, sizeof own) &&
         !bind(c->packets, (struct sockaddr *)&interface, sizeof interface);
}

static long now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits until `deadline` for an answer to us; others' messages do not make it longer. */
static bool await_answer(int fd, const struct dhcp_client *client, long deadline, struct dhcp_lease *lease) {
  unsigned char packet[ANSWER_BYTES_MAX];
  for (long left = deadline - now_ms(); left > 0; left = deadline - now_ms()) {
    struct timeval patience = {left / 1000, left % 1000 * 1000};
    uint32_t source = 0;
    size_t message_length = 0;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ssize_t length = recv(fd, packet, sizeof packet, 0);
    if (length < 0 && errno != EINTR && errno != EAGAIN) return false;
    const unsigned char *message = length < 0 ? NULL : dhcp_payload(packet, (size_t)length, &message_length, &source);
    if (!message || !dhcp_read(message, message_length, client, lease)) continue;
    if (!lease->server) lease->server = source;
    return true;
  }
  return false;
}

/* Discovers, or with an offer requests it. */
static bool ask(const struct channel *c, const struct dhcp_client *client, const struct dhcp_lease *offer, struct dhcp_lease *answer) {
  struct sockaddr_in everybody = inet_address(htonl(INADDR_BROADCAST), DHCP_SERVER_PORT);
  unsigned char message[DHCP_BYTES];
  dhcp_write(message, client, offer);
  for (int patience = PATIENCE_MS; patience <= PATIENCE_MS_MAX; patience *= 2) {
    long deadline = now_ms() + patience;
    /* The link may come up a moment later; then a later try is the first one that is heard. */
    sendto(c->udp, message, sizeof message, 0, (struct sockaddr *)&everybody, sizeof everybody);
    while (await_answer(c->packets, client, deadline, answer))
      if (!offer || answer->type == DHCP_ACK) return true;
  }
  return false;
}

/* Frames longer than usual arrive only where the guest posts long buffers, which it does when it takes segments. */
static unsigned mtu_max(void) {
  char *features = read_file_at(AT_FDCWD, "/sys/class/net/eth0/device/features", 4096, NULL);
  if (!features || strlen(features) < 16) return MTU_ETHERNET;
  bool is_long = features[7] == '1' || features[8] == '1' || features[10] == '1' || features[15] == '1';
  return is_long ? MTU_MAX : MTU_ETHERNET;
}

static void set_mtu(int fd, unsigned mtu) {
  struct ifreq request = named();
  unsigned max = mtu_max();
  request.ifr_mtu = (int)(mtu < MTU_MIN ? MTU_MIN : mtu > max ? max : mtu);
  if (ioctl(fd, SIOCSIFMTU, &request)) failed("its MTU");
}

static bool set_address(int fd, unsigned long what, uint32_t address) {
  struct ifreq request = named();
  struct sockaddr_in value = inet_address(address, 0);
  memcpy(&request.ifr_addr, &value, sizeof value);
  return !ioctl(fd, what, &request);
}

static bool add_route(int fd, uint32_t to, uint32_t mask, uint32_t gateway) {
  struct sockaddr_in addresses[3] = {inet_address(to, 0), inet_address(mask, 0), inet_address(gateway, 0)};
  struct rtentry route = {.rt_flags = (unsigned short)(RTF_UP | (gateway ? RTF_GATEWAY : 0)), .rt_dev = (char *)NAME};
  memcpy(&route.rt_dst, &addresses[0], sizeof addresses[0]);
  memcpy(&route.rt_genmask, &addresses[1], sizeof addresses[1]);
  memcpy(&route.rt_gateway, &addresses[2], sizeof addresses[2]);
  return !ioctl(fd, SIOCADDRT, &route) || errno == EEXIST;
}

/* A router outside of the network is reached through the interface itself. */
static bool add_default_route(int fd, uint32_t router) {
  if (add_route(fd, 0, 0, router)) return true;
  return router && errno == ENETUNREACH && add_route(fd, router, htonl(INADDR_NONE), 0) && add_route(fd, 0, 0, router);
}

static char *decimal(char *at, unsigned char value) {
  if (value >= 100) *at++ = (char)('0' + value / 100);
  if (value >= 10) *at++ = (char)('0' + value / 10 % 10);
  *at++ = (char)('0' + value % 10);
  return at;
}

static void write_resolver(int fd, uint32_t address) {
  char line[32] = "nameserver ", *at = line + strlen(line);
  unsigned char bytes[4];
  memcpy(bytes, &address, sizeof bytes);
  for (int i = 0; i < 4; i++) {
    at = decimal(at, bytes[i]);
    *at++ = i < 3 ? '.' : '\n';
  }
  if (write(fd, line, (size_t)(at - line)) < 0) failed("its name servers");
}

/*
 * The root may be a directory of the host, so its resolv.conf is covered, not written. Only where there is none yet
 * one is made.
 */
static void set_resolvers(const struct dhcp_lease *lease) {
  static const char OWN[] = "/dev/.resolv.conf", PLACE[] = "/etc/resolv.conf";
  bool is_there = !access(PLACE, F_OK);
  int fd = open(is_there ? OWN : PLACE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) {
    failed(PLACE);
    return;
  }
  for (size_t i = 0; i < lease->dns_count; i++) write_resolver(fd, lease->dns[i]);
  close(fd);
  if (is_there && mount(OWN, PLACE, NULL, MS_BIND, NULL)) failed(PLACE);
}

static void apply(int fd, const struct dhcp_lease *lease) {
  if (lease->mtu) set_mtu(fd, lease->mtu);
  if (!set_address(fd, SIOCSIFADDR, lease->address) || !set_address(fd, SIOCSIFNETMASK, lease->mask)) {
    failed("its address");
    return;
  }
  if (!add_default_route(fd, lease->router)) failed("its route");
  if (lease->dns_count) set_resolvers(lease);
}

static bool lease_address(const struct channel *c, struct dhcp_lease *lease) {
  struct ifreq request = named();
  struct dhcp_client client = {0};
  struct dhcp_lease offer;
  if (ioctl(c->udp, SIOCGIFHWADDR, &request)) return failed("its MAC address");
  memcpy(client.mac, request.ifr_hwaddr.sa_data, 6);
  memcpy(&client.xid, client.mac + 2, 4);
  if (ask(c, &client, NULL, lease)) {
    if (lease->type == DHCP_ACK) return true;
    offer = *lease;
    if (ask(c, &client, &offer, lease)) return true;
  }
  say("Cannot configure ", NAME, ": no DHCP server answers", NULL);
  return false;
}

void dhcp_configure(void) {
  struct channel c;
  struct dhcp_lease lease;
  if (!open_channel(&c)) failed("DHCP");
  else if (lease_address(&c, &lease)) apply(c.udp, &lease);
  close(c.udp);
  close(c.packets);
}
