/* SPDX-License-Identifier: Apache-2.0
 * The network setting (SECURITY.md, invariant 6) as cgroup BPF programs on a pool's cgroup: inherited by
 * every sandbox in it, at no cost per sandbox, and gone with the cgroup. seccomp does the rest: which
 * socket families exist, and that nothing listens (seccomp_profile.h).
 *
 * outbound: connect() and sendto() fail with EPERM for loopback, unspecified and every address of this
 *           host, but for the endpoints that the worker names (a local DNS server, a local pip mirror);
 *           bind() only to port 0.
 * none:     all of them fail.          host: no program. */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <netinet/in.h>

#include "helper.h"

#define MAX_INSNS 1024 /* some 150 of the host's own addresses */

struct program {
  struct bpf_insn insn[MAX_INSNS];
  unsigned n;
};

#define OFF(field) ((int16_t)offsetof(struct bpf_sock_addr, field))

static void emit(struct program *p, uint8_t code, uint8_t dst, uint8_t src, int16_t off, int32_t imm) {
  struct bpf_insn insn = {.code = code, .off = off, .imm = imm};
  insn.dst_reg = (__u8)(dst & 0xfu) & 0xfu;
  insn.src_reg = (__u8)(src & 0xfu) & 0xfu;
  if (p->n < MAX_INSNS) p->insn[p->n] = insn;
  p->n++;
}

static void load(struct program *p, uint8_t reg, int off) {
  emit(p, BPF_LDX | BPF_MEM | BPF_W, reg, 1, (int16_t)off, 0);
}

/* Jumps over `skip` instructions unless reg equals value (32-bit comparison: addresses use the top bit). */
static void unless_equal_skip(struct program *p, uint8_t reg, uint32_t value, int16_t skip) {
  emit(p, BPF_JMP32 | BPF_JNE | BPF_K, reg, 0, skip, (int32_t)value);
}

static void finish(struct program *p, int verdict) {
  emit(p, BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, verdict);
  emit(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/* Refuses when the bits of `mask` are those of `value`, both in host order. Uses r8. */
static void refuse_masked(struct program *p, uint8_t reg, uint32_t mask, uint32_t value) {
  emit(p, BPF_ALU64 | BPF_MOV | BPF_X, 8, reg, 0, 0);
  emit(p, BPF_ALU | BPF_AND | BPF_K, 8, 0, 0, (int32_t)htonl(mask));
  unless_equal_skip(p, 8, htonl(value), 2);
  finish(p, 0);
}

static void refuse_own_v4(struct program *p, const struct sockaddr *own) {
  if (!own || own->sa_family != AF_INET) return;
  unless_equal_skip(p, 2, ((const struct sockaddr_in *)(const void *)own)->sin_addr.s_addr, 2);
  finish(p, 0);
}

/* Verdicts on the IPv4 address in r2 and the port in r3, both in network order. `own`: the host's addresses. */
static void judge_v4(struct program *p, const struct ifaddrs *own, const uint64_t endpoint[], unsigned n) {
  for (unsigned i = 0; i < n; i++) {
    unless_equal_skip(p, 2, htonl((uint32_t)(endpoint[i] >> 16)), 3);
    unless_equal_skip(p, 3, htons((uint16_t)endpoint[i]), 2);
    finish(p, 1);
  }
  for (const struct ifaddrs *a = own; a; a = a->ifa_next) {
    refuse_own_v4(p, a->ifa_addr);
    if (a->ifa_flags & IFF_BROADCAST) refuse_own_v4(p, a->ifa_broadaddr); /* answered by this host too */
  }
  refuse_masked(p, 2, 0xffffffff, 0);
  refuse_masked(p, 2, 0xff000000, 0x7f000000);
  refuse_masked(p, 2, 0xe0000000, 0xe0000000); /* multicast and broadcast: the host's own services hear them too */
  finish(p, 1);
}

static void judge_v6(struct program *p, const struct ifaddrs *own, const uint64_t endpoint[], unsigned n) {
  for (int word = 0; word < 4; word++) load(p, (uint8_t)(4 + word), OFF(user_ip6) + 4 * word);
  for (const struct ifaddrs *a = own; a; a = a->ifa_next) {
    if (!a->ifa_addr || a->ifa_addr->sa_family != AF_INET6) continue;
    const struct in6_addr *v6 = &((const struct sockaddr_in6 *)(const void *)a->ifa_addr)->sin6_addr;
    const struct in6_addr *mask = &((const struct sockaddr_in6 *)(const void *)a->ifa_netmask)->sin6_addr;
    /* A router answers to its networks' anycast addresses, too; from /127 on there are none (RFC 6164). */
    for (int any = 0; any <= (a->ifa_netmask && mask->s6_addr[15] < 0xfe); any++) {
      for (int w = 0; w < 4; w++)
        unless_equal_skip(p, (uint8_t)(4 + w), v6->s6_addr32[w] & (any ? mask->s6_addr32[w] : ~0u), (int16_t)(5 - w));
      finish(p, 0);
    }
  }
  refuse_masked(p, 4, 0xff000000, 0xff000000); /* multicast */
  /* What is left of loopback: ::, ::1, and IPv4 in IPv6's clothes, which is judged as IPv4. */
  struct program v4 = {.n = 0};
  judge_v4(&v4, own, endpoint, n);
  unless_equal_skip(p, 4, 0, 11 + (int16_t)v4.n);
  unless_equal_skip(p, 5, 0, 10 + (int16_t)v4.n);
  unless_equal_skip(p, 6, htonl(0xffff), 2 + (int16_t)v4.n);
  load(p, 3, OFF(user_port));
  emit(p, BPF_ALU64 | BPF_MOV | BPF_X, 2, 7, 0, 0);
  for (unsigned i = 0; i < v4.n && p->n < MAX_INSNS; i++) p->insn[p->n++] = v4.insn[i];
  unless_equal_skip(p, 6, 0, 6);
  unless_equal_skip(p, 7, 0, 2);
  finish(p, 0);
  unless_equal_skip(p, 7, htonl(1), 2);
  finish(p, 0);
  finish(p, 1);
}

static int attach(int cgroup_fd, const struct program *p, enum bpf_attach_type type) {
  union bpf_attr a;
  if (p->n > MAX_INSNS) return fault(AG_E_LIMIT, AG_ST_NETWORK, "too many local addresses");
  memset(&a, 0, sizeof a);
  a.prog_type = BPF_PROG_TYPE_CGROUP_SOCK_ADDR;
  a.expected_attach_type = type;
  a.insns = (uint64_t)(uintptr_t)p->insn;
  a.insn_cnt = p->n;
  a.license = (uint64_t)(uintptr_t) "Apache-2.0";
  SCOPED int prog = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &a, sizeof a);
  if (prog < 0) return fault_sys(AG_ST_NETWORK, "BPF_PROG_LOAD");
  memset(&a, 0, sizeof a);
  a.target_fd = (uint32_t)cgroup_fd;
  a.attach_bpf_fd = (uint32_t)prog;
  a.attach_type = type;
  return syscall(SYS_bpf, BPF_PROG_ATTACH, &a, sizeof a) < 0 ? fault_sys(AG_ST_NETWORK, "BPF_PROG_ATTACH") : 0;
}

/* AG_NETWORK. Safety: only attaches programs of our own making to cgroups of our own making; the caller
 * chooses among three modes and names IPv4 loopback endpoints that it could reach itself anyway. */
int net_apply(struct session *s, unsigned mode, unsigned pool, const uint64_t endpoint[], unsigned n) {
  static const enum bpf_attach_type talk4[] = {BPF_CGROUP_INET4_CONNECT, BPF_CGROUP_UDP4_SENDMSG};
  static const enum bpf_attach_type talk6[] = {BPF_CGROUP_INET6_CONNECT, BPF_CGROUP_UDP6_SENDMSG};
  static const enum bpf_attach_type binds[] = {BPF_CGROUP_INET4_BIND, BPF_CGROUP_INET6_BIND};
  struct program v4 = {.n = 0}, v6 = {.n = 0}, bind = {.n = 0};
  struct ifaddrs *own;
  if (mode == AG_NET_HOST) return 0;
  /* A service on eth0 is as far away as one on loopback. Taken once: an address added later is not covered. */
  if (getifaddrs(&own) < 0) return fault_sys(AG_ST_NETWORK, "getifaddrs");
  if (mode == AG_NET_NONE) {
    finish(&v4, 0);
    finish(&v6, 0);
    finish(&bind, 0);
  } else {
    load(&v4, 2, OFF(user_ip4));
    load(&v4, 3, OFF(user_port));
    judge_v4(&v4, own, endpoint, n);
    judge_v6(&v6, own, endpoint, n);
    load(&bind, 3, OFF(user_port));
    unless_equal_skip(&bind, 3, 0, 2);
    finish(&bind, 1);
    finish(&bind, 0);
  }
  freeifaddrs(own);
  SCOPED int fd = open_beneath(s->cg_top_v2, pool_name[pool], O_RDONLY | O_DIRECTORY);
  if (fd < 0) return fault_sys(AG_ST_NETWORK, "open pool");
  for (int i = 0; i < 2; i++)
    if (attach(fd, &v4, talk4[i]) < 0 || attach(fd, &v6, talk6[i]) < 0 || attach(fd, &bind, binds[i]) < 0) return -1;
  return 0;
}
