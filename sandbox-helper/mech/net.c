/* SPDX-License-Identifier: Apache-2.0
 * The network setting (SECURITY.md, invariant 6) as BPF programs on a pool's cgroup. Every sandbox in the pool inherits
 * them, at no cost per sandbox, and they end with the cgroup. seccomp decides which socket families and options exist,
 * and forbids listen() (seccomp_profile.h).
 *
 * outbound: packets may leave the host, but reach no service of the host. A program judges each outgoing packet. A
 * packet that leaves through the loopback device is for this host, whatever its address is, and is refused. For other
 * packets, the longest matching prefix of the worker's rules decides. Endpoints that the worker names (a local DNS
 * server, a local pip mirror) always pass. A check by address makes a refused connect() or sendto() fail at once with
 * EPERM. This check knows the host's addresses at the helper's start. bind() takes only port 0.
 *
 * none: all of these calls fail.
 *
 * host: there is no program. */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <netinet/in.h>

#include "mech/mech.h"

#define MAX_INSNS 256
#define MAX_PREFIXES 4096
#define REFILL_TRIES 100
#define REFILL_WAIT_US 1000
#define LOOPBACK 1 /* the index of every network namespace's loopback device */

struct program {
  struct bpf_insn insn[MAX_INSNS];
  unsigned n;
};

/* A key of the map; IPv4 as IPv6 (::ffff:0:0/96). A program's stack has the key at KEY and a packet's header at HEADER.
 * Registers: r6 is the context, r7 the port in network order. */
struct prefix {
  uint32_t bits;
  struct in6_addr address;
};
#define KEY (-24)
#define ADDRESS (KEY + 4)
#define HEADER (-72)

#define OFF(field) ((int16_t)offsetof(struct bpf_sock_addr, field))
#define SKB(field) ((int16_t)offsetof(struct __sk_buff, field))

static void emit(struct program *p, uint8_t code, uint8_t dst, uint8_t src, int16_t off, int32_t imm) {
  struct bpf_insn insn = {.code = code, .off = off, .imm = imm};
  insn.dst_reg = (__u8)(dst & 0xfu) & 0xfu;
  insn.src_reg = (__u8)(src & 0xfu) & 0xfu;
  if (p->n < MAX_INSNS) p->insn[p->n] = insn;
  p->n++;
}

static void load(struct program *p, uint8_t reg, uint8_t base, uint8_t size, int off) {
  emit(p, (uint8_t)(BPF_LDX | BPF_MEM | size), reg, base, (int16_t)off, 0);
}

/* Jumps over `skip` instructions unless reg equals value (32-bit comparison: addresses use the top bit). */
static void unless_equal_skip(struct program *p, uint8_t reg, uint32_t value, unsigned skip) {
  emit(p, BPF_JMP32 | BPF_JNE | BPF_K, reg, 0, (int16_t)skip, (int32_t)value);
}

static void finish(struct program *p, int verdict) {
  emit(p, BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, verdict);
  emit(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/* Copies the words of an address, from r6 or from the stack, into the key. */
static void take_words(struct program *p, uint8_t base, int from, int words) {
  for (int w = 0; w < words; w++) {
    load(p, 2, base, BPF_W, from + 4 * w);
    emit(p, BPF_STX | BPF_MEM | BPF_W, 10, 2, (int16_t)(ADDRESS + 4 * (4 - words + w)), 0);
  }
  for (int w = 0; w < 4 - words; w++)
    emit(p, BPF_ST | BPF_MEM | BPF_W, 10, 0, (int16_t)(ADDRESS + 4 * w), w == 2 ? (int32_t)htonl(0xffff) : 0);
}

/* Returns the verdict on the address in the key and the port in r7. */
static void judge(struct program *p, int map, const uint64_t endpoint[], unsigned n, bool is_packet) {
  for (unsigned w = 0; n && w < 3; w++) {
    load(p, 2, 10, BPF_W, ADDRESS + 4 * (int)w);
    unless_equal_skip(p, 2, w == 2 ? htonl(0xffff) : 0, 4 * n + 1 + 2 * (2 - w));
  }
  if (n) load(p, 2, 10, BPF_W, ADDRESS + 12);
  for (unsigned i = 0; i < n; i++) {
    unless_equal_skip(p, 2, htonl((uint32_t)(endpoint[i] >> 16)), 3);
    unless_equal_skip(p, 7, htons((uint16_t)endpoint[i]), 2);
    finish(p, 1);
  }
  if (is_packet) {
    load(p, 2, 6, BPF_W, SKB(ifindex));
    unless_equal_skip(p, 2, LOOPBACK, 2);
    finish(p, 0);
  }
  emit(p, BPF_ST | BPF_MEM | BPF_W, 10, 0, KEY, 128);
  emit(p, BPF_LD | BPF_IMM | BPF_DW, 1, BPF_PSEUDO_MAP_FD, 0, map);
  emit(p, 0, 0, 0, 0, 0); /* second half of the 64-bit load */
  emit(p, BPF_ALU64 | BPF_MOV | BPF_X, 2, 10, 0, 0);
  emit(p, BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, KEY);
  emit(p, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem);
  emit(p, BPF_JMP | BPF_JNE | BPF_K, 0, 0, 2, 0);
  finish(p, 1); /* no prefix matches */
  load(p, 0, 0, BPF_W, 0);
  emit(p, BPF_ALU64 | BPF_AND | BPF_K, 0, 0, 0, 1);
  emit(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/* Reads `size` bytes, up to the end of the ports, of a packet whose address has `words` words. Refuses a packet that is
 * neither TCP nor UDP. Refuses a packet whose first byte under the mask is not `first`: IP options and routing headers
 * could send the packet to another address, and they move the port to another place. */
static void take_header(struct program *p, int size, int words, int protocol_at, uint8_t mask, uint8_t first) {
  emit(p, BPF_ALU64 | BPF_MOV | BPF_X, 1, 6, 0, 0);
  emit(p, BPF_ALU64 | BPF_MOV | BPF_K, 2, 0, 0, 0);
  emit(p, BPF_ALU64 | BPF_MOV | BPF_X, 3, 10, 0, 0);
  emit(p, BPF_ALU64 | BPF_ADD | BPF_K, 3, 0, 0, HEADER);
  emit(p, BPF_ALU64 | BPF_MOV | BPF_K, 4, 0, 0, size);
  emit(p, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_skb_load_bytes);
  unless_equal_skip(p, 0, 0, 6); /* to the refusal */
  load(p, 2, 10, BPF_B, HEADER);
  emit(p, BPF_ALU64 | BPF_AND | BPF_K, 2, 0, 0, mask);
  unless_equal_skip(p, 2, first, 3);
  load(p, 2, 10, BPF_B, HEADER + protocol_at);
  emit(p, BPF_JMP | BPF_JEQ | BPF_K, 2, 0, 3, IPPROTO_TCP);
  emit(p, BPF_JMP | BPF_JEQ | BPF_K, 2, 0, 2, IPPROTO_UDP);
  finish(p, 0);
  take_words(p, 10, HEADER + size - 4 - 4 * words, words);
  load(p, 7, 10, BPF_H, HEADER + size - 2);
}

static void judge_packet(struct program *p, int map, const uint64_t endpoint[], unsigned n) {
  struct program v4 = {.n = 0};
  take_header(&v4, 24, 1, 9, 0xff, 0x45);
  judge(&v4, map, endpoint, n, true);
  load(p, 2, 6, BPF_W, SKB(protocol));
  unless_equal_skip(p, 2, htons(ETH_P_IP), v4.n);
  for (unsigned i = 0; i < v4.n && p->n < MAX_INSNS; i++) p->insn[p->n++] = v4.insn[i];
  take_header(p, 44, 4, 6, 0xf0, 0x60);
  judge(p, map, endpoint, 0, true);
}

static int attach(int cgroup_fd, const struct program *p, enum bpf_attach_type type) {
  union bpf_attr a;
  if (p->n > MAX_INSNS) return fault(AG_E_LIMIT, AG_ST_NETWORK, "program too long");
  memset(&a, 0, sizeof a);
  a.prog_type = type == BPF_CGROUP_INET_EGRESS ? BPF_PROG_TYPE_CGROUP_SKB : BPF_PROG_TYPE_CGROUP_SOCK_ADDR;
  a.expected_attach_type = type;
  a.insns = (uint64_t)(uintptr_t)p->insn, a.insn_cnt = p->n;
  a.license = (uint64_t)(uintptr_t) "Apache-2.0";
  SCOPED int prog = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &a, sizeof a);
  if (prog < 0) return fault_sys(AG_ST_NETWORK, "BPF_PROG_LOAD");
  memset(&a, 0, sizeof a);
  a.target_fd = (uint32_t)cgroup_fd, a.attach_bpf_fd = (uint32_t)prog;
  a.attach_type = type;
  return syscall(SYS_bpf, BPF_PROG_ATTACH, &a, sizeof a) < 0 ? fault_sys(AG_ST_NETWORK, "BPF_PROG_ATTACH") : 0;
}

static int open_map(struct session *s, unsigned pool) {
  union bpf_attr a;
  if (s->net_map[pool] > 0) return 0;
  memset(&a, 0, sizeof a);
  a.map_type = BPF_MAP_TYPE_LPM_TRIE;
  a.key_size = sizeof(struct prefix), a.value_size = sizeof(uint32_t);
  a.max_entries = MAX_PREFIXES, a.map_flags = BPF_F_NO_PREALLOC;
  s->net_map[pool] = (int)syscall(SYS_bpf, BPF_MAP_CREATE, &a, sizeof a);
  return s->net_map[pool] < 0 ? fault_sys(AG_ST_NETWORK, "BPF_MAP_CREATE") : 0;
}

static int put_prefix(int map, const struct in6_addr *address, uint32_t bits, uint32_t passes) {
  struct prefix key = {bits, *address};
  union bpf_attr a;
  memset(&a, 0, sizeof a);
  a.map_fd = (uint32_t)map;
  a.key = (uint64_t)(uintptr_t)&key, a.value = (uint64_t)(uintptr_t)&passes;
  /* Newer kernels take an entry from a small reserve and refill the reserve asynchronously. ENOMEM: the reserve is
   * empty. On User Mode Linux the refill waits for the next clock tick. */
  for (int tries = 0; syscall(SYS_bpf, BPF_MAP_UPDATE_ELEM, &a, sizeof a) < 0; tries++)
    if (errno != ENOMEM || tries == REFILL_TRIES || usleep(REFILL_WAIT_US) < 0)
      return fault_sys(AG_ST_NETWORK, "prefix");
  return 0;
}

/* AG_RULE. Safety: four words, a length and a verdict go into the helper's own map, which has a bounded size. Only the
 * helper's own programs read it. An allowed prefix opens no service of this host: packets that leave through the
 * loopback device are refused first. */
int net_rule(struct session *s, unsigned pool, uint32_t passes, const uint64_t word[4], uint32_t bits) {
  struct in6_addr address;
  for (int w = 0; w < 4; w++) address.s6_addr32[w] = htonl((uint32_t)word[w]);
  return open_map(s, pool) < 0 ? -1 : put_prefix(s->net_map[pool], &address, bits, passes);
}

/* Refuses an address of this host, and with a mask its subnet's anycast address. */
static int refuse_own(int map, const struct sockaddr *own, const struct sockaddr *mask) {
  struct in6_addr address = {.s6_addr32 = {0, 0, htonl(0xffff), 0}};
  if (!own || (own->sa_family != AF_INET && own->sa_family != AF_INET6)) return 0;
  if (own->sa_family == AF_INET)
    address.s6_addr32[3] = ((const struct sockaddr_in *)(const void *)own)->sin_addr.s_addr;
  else
    address = ((const struct sockaddr_in6 *)(const void *)own)->sin6_addr;
  if (put_prefix(map, &address, 128, 0) < 0) return -1;
  /* A router also answers to its subnets' anycast addresses. A /127 has none (RFC 6164). */
  if (own->sa_family == AF_INET || !mask) return 0;
  const struct in6_addr *net = &((const struct sockaddr_in6 *)(const void *)mask)->sin6_addr;
  for (int w = 0; w < 4; w++) address.s6_addr32[w] &= net->s6_addr32[w];
  return net->s6_addr[15] >= 0xfe ? 0 : put_prefix(map, &address, 128, 0);
}

/* Refuses all of this host's own addresses. Runs last, so that no prefix of the worker replaces one. */
static int refuse_host(int map) {
  /* The host itself, and multicast and broadcast, which the host's services receive too. */
  static const char *const closed[] = {"::", "::1", "::ffff:0.0.0.0", "::ffff:127.0.0.0", "ff00::", "::ffff:224.0.0.0"};
  static const uint32_t bits[] = {128, 128, 104, 104, 8, 99};
  struct in6_addr address;
  struct ifaddrs *own;
  int result = 0;
  for (size_t i = 0; i < sizeof bits / sizeof *bits; i++)
    if (inet_pton(AF_INET6, closed[i], &address) != 1 || put_prefix(map, &address, bits[i], 0) < 0) return -1;
  if (getifaddrs(&own) < 0) return fault_sys(AG_ST_NETWORK, "getifaddrs");
  for (const struct ifaddrs *a = own; a && result == 0; a = a->ifa_next) {
    result = refuse_own(map, a->ifa_addr, a->ifa_netmask);
    if (result == 0 && (a->ifa_flags & IFF_BROADCAST)) result = refuse_own(map, a->ifa_broadaddr, NULL);
  }
  freeifaddrs(own);
  return result;
}

/* AG_NETWORK. Safety: attaches only the helper's own programs to the helper's own cgroups. The caller chooses one of
 * three modes, and names IPv4 endpoints that it can reach itself. */
int net_apply(struct session *s, unsigned mode, unsigned pool, const uint64_t endpoint[], unsigned n) {
  static const enum bpf_attach_type hook[] = {
      BPF_CGROUP_INET4_CONNECT, BPF_CGROUP_UDP4_SENDMSG, BPF_CGROUP_INET6_CONNECT, BPF_CGROUP_UDP6_SENDMSG,
      BPF_CGROUP_INET4_BIND,    BPF_CGROUP_INET6_BIND,   BPF_CGROUP_INET_EGRESS};
  struct program of[4] = {{.n = 0}}, *v4 = &of[0], *v6 = &of[1], *bind = &of[2], *packet = &of[3];
  if (mode == AG_NET_HOST) return 0;
  if (open_map(s, pool) < 0 || refuse_host(s->net_map[pool]) < 0) return -1;
  for (int i = 0; i < 4; i++) emit(&of[i], BPF_ALU64 | BPF_MOV | BPF_X, 6, 1, 0, 0);
  take_words(v4, 6, OFF(user_ip4), 1);
  take_words(v6, 6, OFF(user_ip6), 4);
  for (int i = 0; i < 3; i++) load(&of[i], 7, 6, BPF_W, OFF(user_port));
  judge(v4, s->net_map[pool], endpoint, n, false);
  judge(v6, s->net_map[pool], endpoint, n, false);
  unless_equal_skip(bind, 7, 0, 2);
  finish(bind, 1);
  finish(bind, 0);
  judge_packet(packet, s->net_map[pool], endpoint, n);
  for (int i = 0; i < 4 && mode == AG_NET_NONE; i++) of[i].n = 1, finish(&of[i], 0);
  SCOPED int fd = open_beneath(s->cg_top_v2, pool_name[pool], O_RDONLY | O_DIRECTORY);
  if (fd < 0) return fault_sys(AG_ST_NETWORK, "open pool");
  for (size_t i = 0; i < sizeof hook / sizeof *hook; i++)
    if (attach(fd, &of[i / 2], hook[i]) < 0) return -1;
  close_scoped(&s->net_map[pool]); /* the programs keep the map */
  return 0;
}
