/* SPDX-License-Identifier: Apache-2.0
 * AG_FORK: a zygote clones itself into another slot.
 *
 * Safety: the zygote may run a malicious package's code, so nothing that it says is believed. It gets
 * the new slot's root, cgroup and sockets, which are empty and belong to a handler that asked for every
 * package it has imported (the worker's rule). Who was born is read from the slot's cgroup; a zygote
 * that clones elsewhere leaves that empty and is treated as failed. */

#include "helper.h"

/* The target's id and a part of its sequence number, so that a late answer meets no other slot. */
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
  if (r->name[0][0] && rootfs_bind(s, slot->name, s->code_fd, r->name[0], "handler", false) < 0) return -1;
  slot->role = r->role;
  slot->source = r->source;
  slot->park = r->flags & AG_F_PARK;
  int link[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, link) < 0) return fault_sys(AG_ST_FORK, "channels");
  SCOPED int ours = link[0], theirs = link[1];
  SCOPED int root = rootfs_open(s, slot->name);
  SCOPED int cgroup = root < 0 ? -1 : cgroup_open(s, slot->pool, slot->name);
  int fds[AG_LINK_MAX_FDS] = {root, cgroup, slot->listen_fd, slot->log_fd, theirs};
  int ntasks = cgroup < 0 ? -1 : cgroup_tasks(s, slot, zygote->name, fds + AG_LINK_FORK_FDS);
  if (ntasks < 0) return -1;
  int sent = send_fork(zygote->link_fd, slot, ticket(r->slot, r->seq), fds, AG_LINK_FORK_FDS + ntasks);
  while (ntasks > 0) close(fds[AG_LINK_FORK_FDS + --ntasks]);
  if (sent < 0) return -1;
  slot->link_fd = take_fd(&ours);
  slot->state = SLOT_FORKING;
  slot_wait(s, r->slot, r->seq);
  return 0;
}

static void finish(struct session *s, uint32_t id, int result) {
  if (result < 0) slot_fail(s, id);
  slot_answer(s, id, result, (const uint64_t[8]){(uint64_t)s->slot[id].pid});
}

/* Finds the newborn by its cgroup and lets it go. It has joined its v1 cgroups before it answered; that this is so is
 * looked up only then: of a zygote that breaks the rules, what is done in a moment is done within its own limits. */
static int adopt(struct session *s, uint32_t id) {
  struct slot *slot = &s->slot[id];
  pid_t pid = cgroup_first_pid(s, slot->pool, slot->name);
  if (pid <= 0) return fault(AG_E_ZYGOTE, AG_ST_FORK, "no process was born");
  SCOPED int pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
  /* The number may have been reused between reading and opening; in the cgroup still, it was not. */
  if (pid_fd < 0 || cgroup_first_pid(s, slot->pool, slot->name) != pid)
    return fault(AG_E_ZYGOTE, AG_ST_FORK, "the newborn died");
  if (slot_started(s, id, take_fd(&pid_fd), pid, false) < 0) return -1;
  if (!slot->park && slot_go(s, id, "") < 0) return -1;
  if (!cgroup_has_joined(s, slot)) slot_fail(s, id); /* or it has ended again */
  return 0;
}

/* Something is readable on a zygote's link: answers to forks, or its end. */
void zygote_answered(struct session *s, uint32_t id) {
  struct slot *zygote = &s->slot[id];
  struct ag_link_msg m;
  ssize_t n = recv(zygote->link_fd, &m, sizeof m, MSG_DONTWAIT | MSG_TRUNC);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n != (ssize_t)sizeof m || m.op != AG_LINK_FORKED) { /* closed, or it talks nonsense: end it */
    slot_fail(s, id);
    return;
  }
  uint32_t target = (uint32_t)m.seq;
  struct slot *slot = target && target <= AG_MAX_SLOTS ? &s->slot[target] : NULL;
  /* A zygote can only answer what it was asked. */
  if (!slot || slot->state != SLOT_FORKING || slot->source != id || m.seq != ticket(target, slot->wait_seq)) return;
  if (m.result < 0) {
    const char *name = m.result > -4096 ? strerrorname_np((int)-m.result) : NULL;
    finish(s, target, fault(AG_E_ZYGOTE, AG_ST_FORK, name ? name : "unknown error in the zygote"));
  } else {
    finish(s, target, adopt(s, target));
  }
}

/* The zygote is gone: what waits for its answer fails now instead of by timeout. */
void zygote_lost(struct session *s, uint32_t id) {
  for (uint32_t t = 1; s->busy && t <= AG_MAX_SLOTS; t++)
    if (s->slot[t].state == SLOT_FORKING && s->slot[t].source == id)
      finish(s, t, fault(AG_E_ZYGOTE, AG_ST_FORK, "the zygote died"));
}
