/* DHCP messages, RFC 2131 and 2132, as far as one lease needs them: bytes to values and back, without any I/O. */
#include "init.h"

#include <arpa/inet.h>
#include <string.h>

enum { FLAGS = 10, YIADDR = 16, CHADDR = 28, COOKIE = 236, OPTIONS = 240 };
enum {
  OPTION_MASK = 1,
  OPTION_ROUTER = 3,
  OPTION_DNS = 6,
  OPTION_MTU = 26,
  OPTION_REQUESTED = 50,
  OPTION_TYPE = 53,
  OPTION_SERVER = 54,
  OPTION_PARAMETERS = 55,
  OPTION_RAPID_COMMIT = 80,
  OPTION_END = 255
};
static const unsigned char MAGIC[4] = {99, 130, 83, 99};

static unsigned char *put(unsigned char *at, int code, const void *value, size_t length) {
  *at++ = (unsigned char)code;
  *at++ = (unsigned char)length;
  memcpy(at, value, length);
  return at + length;
}

void dhcp_write(unsigned char message[DHCP_BYTES], const struct dhcp_client *client, const struct dhcp_lease *offer) {
  memset(message, 0, DHCP_BYTES);
  memcpy(message, "\1\1\6", 3); /* a request, from Ethernet, with an address of six bytes */
  memcpy(message + 4, &client->xid, 4);
  message[FLAGS] = 0x80; /* answers as broadcasts: there is no address to send them to */
  memcpy(message + CHADDR, client->mac, 6);
  memcpy(message + COOKIE, MAGIC, 4);

  unsigned char *at = message + OPTIONS;
  unsigned char type = offer ? DHCP_REQUEST : DHCP_DISCOVER;
  static const unsigned char WANTED[] = {OPTION_MASK, OPTION_ROUTER, OPTION_DNS, OPTION_MTU};
  at = put(at, OPTION_TYPE, &type, 1);
  at = put(at, OPTION_PARAMETERS, WANTED, sizeof WANTED);
  if (offer) {
    at = put(at, OPTION_REQUESTED, &offer->address, 4);
    at = put(at, OPTION_SERVER, &offer->server, 4);
  } else {
    at = put(at, OPTION_RAPID_COMMIT, "", 0);
  }
  *at = OPTION_END;
}

static void take_option(int code, const unsigned char *value, size_t length, struct dhcp_lease *lease) {
  switch (code) {
  case OPTION_TYPE:
    if (length == 1) lease->type = value[0];
    break;
  case OPTION_SERVER:
    if (length == 4) memcpy(&lease->server, value, 4);
    break;
  case OPTION_MASK:
    if (length == 4) memcpy(&lease->mask, value, 4);
    break;
  case OPTION_ROUTER:
    if (length >= 4) memcpy(&lease->router, value, 4);
    break;
  case OPTION_MTU:
    if (length == 2) lease->mtu = (unsigned)(value[0] << 8 | value[1]);
    break;
  case OPTION_DNS:
    for (size_t i = 0; i + 4 <= length && lease->dns_count < DHCP_DNS_MAX; i += 4)
      memcpy(&lease->dns[lease->dns_count++], value + i, 4);
    break;
  default:
    break;
  }
}

/* The ones in front; what follows a zero does not count. */
static uint32_t leading_ones(uint32_t mask) {
  uint32_t value = ntohl(mask), ones = 0;
  while (value & 0x80000000u) ones = ones >> 1 | 0x80000000u, value <<= 1;
  return htonl(ones);
}

const unsigned char *dhcp_payload(const unsigned char *packet, size_t length, size_t *payload_length, uint32_t *source) {
  if (length < 20 || packet[0] >> 4 != 4) return NULL;
  size_t header = 4u * (packet[0] & 15u), total = (size_t)packet[2] << 8 | packet[3];
  bool is_fragment = (packet[6] & 0x3f) || packet[7];
  if (header < 20 || total > length || total < header + 8 || packet[9] != 17 || is_fragment) return NULL;
  const unsigned char *udp = packet + header;
  size_t datagram = (size_t)udp[4] << 8 | udp[5];
  if (udp[2] != 0 || udp[3] != DHCP_CLIENT_PORT || datagram < 8 || datagram > total - header) return NULL;
  memcpy(source, packet + 12, 4);
  *payload_length = datagram - 8;
  return udp + 8;
}

bool dhcp_read(const unsigned char *message, size_t length, const struct dhcp_client *client, struct dhcp_lease *lease) {
  memset(lease, 0, sizeof *lease);
  if (length < OPTIONS || message[0] != 2 || memcmp(message + 4, &client->xid, 4)) return false;
  if (memcmp(message + CHADDR, client->mac, 6) || memcmp(message + COOKIE, MAGIC, 4)) return false;
  memcpy(&lease->address, message + YIADDR, 4);
  for (size_t at = OPTIONS; at < length && message[at] != OPTION_END;) {
    if (message[at] == 0) { /* padding */
      at++;
      continue;
    }
    if (at + 2 > length || message[at + 1] > length - at - 2) return false;
    take_option(message[at], message + at + 2, message[at + 1], lease);
    at += 2u + message[at + 1];
  }
  lease->mask = leading_ones(lease->mask);
  return lease->address != 0 && (lease->type == DHCP_OFFER || lease->type == DHCP_ACK);
}
