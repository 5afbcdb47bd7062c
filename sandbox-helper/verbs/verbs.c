/* SPDX-License-Identifier: Apache-2.0
 * Requests: from the control socket, through the table of verbs, to one answer each. */
#include "verbs/verbs.h"

#define CONTROL_PIDFD 4 /* SCM_PIDFD; older headers lack it */

/* AG_HELLO. Safety: it is the first message, and the only one that names paths. Each path is opened below a root of
 * helper.conf, without links, and must belong to the caller. */
static int hello(struct session *s, const struct ag_request *r) {
  if (s->greeted) return fault(AG_E_STATE, AG_ST_HELLO, "second HELLO");
  if ((r->flags & AG_F_NO_SECCOMP) && s->caller_uid != 0)
    return fault(AG_E_DENIED, AG_ST_HELLO, "seccomp is not yours to drop");
  s->seccomp = !(r->flags & AG_F_NO_SECCOMP);
  if (ids_start(s) < 0 || rootfs_unshare() < 0) return -1;
  SCOPED int worker = open_owned_dir(s, r->arg[0], r->name[0]);
  SCOPED int packages = worker < 0 ? -1 : open_owned_dir(s, r->arg[1], r->name[1]);
  SCOPED int base = packages < 0 ? -1 : open_owned_dir(s, r->arg[2], r->name[2]);
  if (base < 0 || cgroup_start(s, r->name[3]) < 0) return -1;
  if (rootfs_enter(s, worker, packages, base, r->flags & AG_F_HOST_USR) < 0) return -1;
  s->greeted = true;
  return 0;
}

/* AG_NETWORK and AG_RULE. Safety: see net.c. */
static int network(struct session *s, const struct ag_request *r) {
  bool is_rule = r->verb == AG_RULE;
  uint64_t wide = r->arg[2] | r->arg[3] | r->arg[4] | r->arg[5];
  unsigned n = 0, pool = (unsigned)r->arg[1];
  if (is_rule ? r->arg[0] > 1 : r->arg[0] < AG_NET_OUTBOUND || r->arg[0] > AG_NET_HOST)
    return fault(AG_E_BADREQ, AG_ST_NETWORK, "mode or verdict");
  if (r->arg[1] != AG_POOL_LAMBDA && r->arg[1] != AG_POOL_INSTALL) return fault(AG_E_BADREQ, AG_ST_NETWORK, "pool");
  if (s->network[pool]) return fault(AG_E_STATE, AG_ST_NETWORK, "already set");
  if (is_rule && (wide > UINT32_MAX || r->arg[6] > 128)) return fault(AG_E_BADREQ, AG_ST_NETWORK, "prefix");
  if (is_rule) return net_rule(s, pool, (uint32_t)r->arg[0], &r->arg[2], (uint32_t)r->arg[6]);
  for (; n < 6 && r->arg[2 + n]; n++)
    if (r->arg[2 + n] >> 48) return fault(AG_E_BADREQ, AG_ST_NETWORK, "endpoint");
  if (net_apply(s, (unsigned)r->arg[0], pool, &r->arg[2], n) < 0) return -1;
  s->network[pool] = (unsigned)r->arg[0];
  return 0;
}

/* AG_DIAG. Safety: returns two counts of the helper's own tables. */
static int diag(struct session *s, uint64_t value[8]) {
  for (uint32_t id = 1; id <= AG_MAX_SLOTS; id++) value[0] += s->slot[id].state != SLOT_FREE;
  value[1] = s->busy;
  return 0;
}

/* Verbs on a slot that exists. Returns 1 when the answer follows later.
 * Safety of PAUSE, RESUME, USAGE, PRESSURE and LIMITS: they read and write fixed files of the slot's own cgroups, under
 * the name that the helper chose. They write only numbers, which the helper formats. The other verbs state their safety
 * at their functions. */
static int slot_verb(struct session *s, const struct ag_request *r, uint64_t value[8]) {
  struct slot *slot = &s->slot[r->slot];
  if (slot->state == SLOT_FREE || slot->state == SLOT_DESTROYING) return fault(AG_E_STATE, AG_ST_SLOT, "slot is free");
  if (r->verb == AG_GO) return slot_go(s, r->slot, r->name, 2);
  if (r->verb == AG_KILL) return slot_kill(s, r->slot, r->seq) < 0 ? -1 : 1;
  if (r->verb == AG_DESTROY) return slot_destroy(s, r->slot, r->seq) < 0 ? -1 : 1;
  if (r->verb == AG_USAGE) return cgroup_usage(s, slot, value);
  if (r->verb == AG_PRESSURE) return cgroup_pressure(s, slot, value);
  if (r->verb == AG_LIMITS) return cgroup_limits(s, slot, r->arg);
  if (r->verb != AG_PAUSE && r->verb != AG_RESUME) return fault(AG_E_BADREQ, AG_ST_SLOT, "verb");
  if (slot->state != SLOT_RUNNING || slot->role == AG_INSTALLER)
    return fault(AG_E_STATE, AG_ST_SLOT, "not a running leaf or zygote");
  return cgroup_freeze(s, slot->pool, slot->name, r->verb == AG_PAUSE);
}

static int dispatch(struct session *s, const struct ag_request *r, int fds[], unsigned nfds, uint64_t value[8]) {
  if (r->verb == AG_HELLO) return hello(s, r);
  if (!s->greeted) return fault(AG_E_STATE, AG_ST_HELLO, "HELLO comes first");
  if (r->verb == AG_NETWORK || r->verb == AG_RULE) return network(s, r);
  if (r->verb == AG_DIAG) return diag(s, value);
  if (r->verb == AG_REMOVE) return job_remove(s, r->seq, r->arg[0], r->name[0]) < 0 ? -1 : 1;
  if (r->slot == 0 || r->slot > AG_MAX_SLOTS) return fault(AG_E_BADREQ, AG_ST_SLOT, "slot id");
  if (r->verb == AG_SLOT) return slot_make(s, r, fds, nfds);
  if (r->verb == AG_SPAWN) return spawn_guest(s, r, value);
  if (r->verb == AG_FORK) return zygote_fork(s, r) < 0 ? -1 : 1;
  return slot_verb(s, r, value);
}

static int check(const struct ag_request *r, size_t size) {
  if (size != sizeof *r || r->magic != AG_MAGIC) return fault(AG_E_BADREQ, AG_ST_HELLO, "size or magic");
  if (r->version != AG_VERSION) return fault(AG_E_VERSION, AG_ST_HELLO, "protocol version");
  if (r->verb == 0 || r->verb >= AG_VERB_END) return fault(AG_E_BADREQ, AG_ST_HELLO, "verb");
  if (r->seq == 0) return fault(AG_E_BADREQ, AG_ST_HELLO, "seq 0 is for events");
  for (unsigned i = 0; i < AG_NAMES; i++)
    if (!memchr(r->name[i], 0, AG_NAME_MAX)) return fault(AG_E_BADREQ, AG_ST_HELLO, "name is not terminated");
  return 0;
}

/* One request and its answer. */
static void handle_request(struct session *s, const struct ag_request *r, size_t size, int fds[], unsigned nfds) {
  uint64_t value[8] = {0};
  int result = check(r, size);
  bool well_formed = result == 0;
  if (well_formed) result = dispatch(s, r, fds, nfds, value);
  for (unsigned i = 0; i < nfds; i++) /* -1: a verb has taken over the descriptor */
    if (fds[i] >= 0) close(fds[i]);
  if (result <= 0) complete(AG_REPLY, size >= 16 ? r->seq : 0, well_formed ? r->slot : 0, result, value);
  /* A caller without a valid HELLO in this version cannot go on. */
  if (result < 0 && !s->greeted && (r->verb == AG_HELLO || !well_formed)) {
    cgroup_stop(s);
    die_of_fault();
  }
}

/* Returns false at the end of the control socket. */
bool take_request(struct session *s) {
  struct ag_request r;
  union {
    struct cmsghdr head;
    char room[CMSG_LEN(sizeof(int) * AG_MAX_FDS)];
  } control;
  struct iovec part = {&r, sizeof r};
  struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.room};
  /* The length is the size of `room`. With the size of the union, the kernel would put one more descriptor into the
   * padding. */
  int fds[AG_MAX_FDS];
  unsigned nfds = 0;
  memset(&r, 0, sizeof r);
  ssize_t n = recvmsg(AG_CONTROL_FD, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  if (n == 0) return false;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
    /* A caller can make the kernel add a pidfd (SCM_PIDFD). This pidfd is closed like every descriptor that no verb
     * takes. */
    if (c->cmsg_level == SOL_SOCKET && (c->cmsg_type == SCM_RIGHTS || c->cmsg_type == CONTROL_PIDFD))
      for (size_t at = 0; CMSG_LEN(at + sizeof(int)) <= c->cmsg_len && nfds < AG_MAX_FDS; at += sizeof(int))
        memcpy(&fds[nfds++], CMSG_DATA(c) + at, sizeof(int));
  if (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) n = -1; /* oversized: answered as malformed */
  handle_request(s, &r, (size_t)n, fds, nfds);
  return true;
}
