/* SPDX-License-Identifier: Apache-2.0
 * AG_FORK: a zygote clones itself into another slot.
 *
 * Safety: the zygote may run a malicious package's code, so the helper trusts no message of the zygote. The zygote gets
 * the new slot's root, cgroup and sockets. They are empty, and the slot's function has asked for every package that the
 * zygote has imported (the worker's rule). The helper reads the child's pid from the slot's cgroup. A zygote that
 * clones elsewhere leaves that cgroup empty, and the fork fails. */

#include "verbs/verbs.h"

/* The number of a fork order: the target's slot id, and a part of the request's sequence number. A late answer thus
 * cannot match a later fork into the same slot. */
static uint64_t ticket(uint32_t id, uint64_t seq) { return (seq & 0xffffffffu) << 32 | id; }

static int send_fork(int zygote_link, const struct slot *slot, uint64_t number, const int fds[], int nfds) {
  struct ag_link_msg order = {.op = AG_LINK_FORK, .role = slot->role, .seq = number, .result = slot->park};
  union {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(int) * AG_LINK_MAX_FDS)];
  } control = {0};
  struct iovec part = {&order, sizeof order};
  struct msghdr m = {.msg_iov = &part,
                     .msg_iovlen = 1,
                     .msg_control = &control,
                     .msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)nfds)};
  control.head.cmsg_level = SOL_SOCKET;
  control.head.cmsg_type = SCM_RIGHTS;
  control.head.cmsg_len = CMSG_LEN(sizeof(int) * (size_t)nfds);
  memcpy(CMSG_DATA(&control.head), fds, sizeof(int) * (size_t)nfds);
  if (sendmsg(zygote_link, &m, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)sizeof order)
    return fault(AG_E_ZYGOTE, AG_ST_FORK, "the zygote takes no order");
  return 0;
}

int zygote_fork(struct session *s, const struct ag_request *r) {
  if (r->source == 0 || r->source > AG_MAX_SLOTS) return fault(AG_E_BADREQ, AG_ST_FORK, "source");
  struct slot *slot = &s->slot[r->slot], *zygote = &s->slot[r->source];
  if (slot->state != SLOT_READY) return fault(AG_E_STATE, AG_ST_FORK, "slot is not ready");
  if (r->role != AG_LEAF && r->role != AG_ZYGOTE) return fault(AG_E_BADREQ, AG_ST_FORK, "role");
  if (slot->pool != AG_POOL_LAMBDA) return fault(AG_E_BADREQ, AG_ST_FORK, "pool");
  if (zygote->state != SLOT_RUNNING || zygote->role != AG_ZYGOTE)
    return fault(AG_E_ZYGOTE, AG_ST_FORK, "no such zygote");
  if (rootfs_bind_code(s, slot->name, r->name, 2) < 0) return -1;
  slot->role = r->role;
  slot->source = r->source;
  slot->park = r->flags & AG_F_PARK;
  int link[2];
  if (ids_assign(s, slot) < 0) return -1;
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, link) < 0) return fault_sys(AG_ST_FORK, "channels");
  SCOPED int ours = link[0], theirs = link[1];
  SCOPED int root = rootfs_open(s, slot->name);
  if (root < 0 || rootfs_chown(root, slot->id.uid) < 0) return -1;
  SCOPED int cgroup = cgroup_open(s, slot, zygote->id.uid);
  int fds[AG_LINK_MAX_FDS] = {root,   cgroup,        slot->guest_fd[0], slot->guest_fd[1], slot->guest_fd[2],
                              theirs, slot->id.ns_fd};
  int ntasks = cgroup < 0 ? -1 : cgroup_open_tasks(s, slot, zygote->name, fds + AG_LINK_FORK_FDS);
  if (ntasks < 0) return -1;
  int sent = send_fork(zygote->link_fd, slot, ticket(r->slot, r->seq), fds, AG_LINK_FORK_FDS + ntasks);
  while (ntasks > 0) close(fds[AG_LINK_FORK_FDS + --ntasks]);
  if (sent < 0) return -1;
  slot->link_fd = take_fd(&ours);
  slot->state = SLOT_FORKING;
  slot_wait(s, r->slot, r->seq);
  return 0;
}

/* Finds the child by its cgroup and lets it go. The child has joined its v1 cgroups before it answered. The helper
 * checks this after GO, so that no request waits for the check. Until this check, a misbehaving zygote's child runs
 * under that zygote's limits. */
static int adopt(struct session *s, uint32_t id) {
  struct slot *slot = &s->slot[id];
  pid_t pid = cgroup_first_pid(s, slot->pool, slot->name);
  if (pid <= 0) return fault(AG_E_ZYGOTE, AG_ST_FORK, "no child in the cgroup");
  SCOPED int pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
  /* The pid may have been reused before it was opened. A pid that is still in the cgroup was not reused. */
  if (pid_fd < 0 || cgroup_first_pid(s, slot->pool, slot->name) != pid)
    return fault(AG_E_ZYGOTE, AG_ST_FORK, "the child died");
  if (slot_started(s, id, take_fd(&pid_fd), pid, false) < 0) return -1;
  if (!slot->park && slot_go(s, id, NULL, 0) < 0) return -1;
  if (!cgroup_has_joined(s, slot) || !ids_taken(s, slot)) slot_fail(s, id); /* also if the child has ended */
  return 0;
}

/* A zygote's link is readable: an answer to a fork, or the zygote's end. */
void zygote_answered(struct session *s, uint32_t id) {
  struct slot *zygote = &s->slot[id];
  struct ag_link_msg m;
  ssize_t n = recv(zygote->link_fd, &m, sizeof m, MSG_DONTWAIT | MSG_TRUNC);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n != (ssize_t)sizeof m || m.op != AG_LINK_FORKED) { /* the link is closed, or the message is malformed */
    slot_fail(s, id);
    return;
  }
  uint32_t target = (uint32_t)m.seq;
  struct slot *slot = target && target <= AG_MAX_SLOTS ? &s->slot[target] : NULL;
  /* An answer without an order is ignored. */
  if (!slot || slot->state != SLOT_FORKING || slot->source != id || m.seq != ticket(target, slot->wait_seq)) return;
  if (m.result < 0) {
    const char *name = m.result > -4096 ? strerrorname_np((int)-m.result) : NULL;
    slot_forked(s, target, fault(AG_E_ZYGOTE, AG_ST_FORK, name ? name : "unknown error in the zygote"));
  } else {
    slot_forked(s, target, adopt(s, target));
  }
  (void)ids_ahead(s, id, 1);
}
