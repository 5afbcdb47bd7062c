/* SPDX-License-Identifier: Apache-2.0
 * The life of a slot: FREE -> READY -> (FORKING ->) PARKED -> RUNNING -> DEAD -> DESTROYING -> FREE.
 * Nothing here waits: a kill is answered when the cgroup is seen empty, by an exit or by a tick. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper.h"

#define DEFAULT_SCRATCH_BYTES (64ull << 20)
#define MAX_SCRATCH_BYTES (16ull << 30)
/* A zygote answers a fork in about a millisecond; one that takes this long is stuck. */
#define FORK_WAIT_MS 20000
/* SIGKILL takes effect in microseconds unless a process sits in uninterruptible sleep. */
#define KILL_WAIT_MS 20000

struct slot *slot_at(struct session *s, uint32_t id) {
  if (id == 0 || id > AG_MAX_SLOTS) {
    fault(AG_E_BADREQ, AG_ST_SLOT, "slot id");
    return NULL;
  }
  return &s->slot[id];
}

static void close_one(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

void slot_close_channels(struct slot *slot) {
  close_one(&slot->listen_fd);
  close_one(&slot->log_fd);
  close_one(&slot->link_fd);
}

/* The descriptors must be what they are said to be; asking a socket question first keeps a file on a
 * hostile filesystem from being touched at all. */
static int check_fds(const int fds[], unsigned nfds) {
  int on = 0, type = 0, domain = 0;
  socklen_t n = sizeof on;
  if (nfds != 2) return fault(AG_E_BADREQ, AG_ST_SLOT, "two descriptors are needed");
  if (getsockopt(fds[0], SOL_SOCKET, SO_ACCEPTCONN, &on, &n) < 0 || !on ||
      getsockopt(fds[0], SOL_SOCKET, SO_DOMAIN, &domain, &n) < 0 || domain != AF_UNIX ||
      getsockopt(fds[0], SOL_SOCKET, SO_TYPE, &type, &n) < 0 || type != SOCK_STREAM)
    return fault(AG_E_BADREQ, AG_ST_SLOT, "not a listening unix socket");
  int mode = fcntl(fds[1], F_GETFL);
  if (fcntl(fds[1], F_GETPIPE_SZ) < 0 || mode < 0 || (mode & O_ACCMODE) != O_WRONLY)
    return fault(AG_E_BADREQ, AG_ST_SLOT, "log is not a pipe's write end");
  return 0;
}

/* AG_SLOT. Safety: the caller names a number; directory and cgroup get a random name of our own. */
int slot_make(struct session *s, const struct ag_request *r, int fds[], unsigned nfds) {
  struct slot *slot = slot_at(s, r->slot);
  uint64_t scratch = r->arg[AG_LIM_SCRATCH_BYTES] ? r->arg[AG_LIM_SCRATCH_BYTES] : DEFAULT_SCRATCH_BYTES;
  if (!slot) return -1;
  if (slot->state != SLOT_FREE) return fault(AG_E_STATE, AG_ST_SLOT, "slot in use");
  if (r->role != AG_POOL_LAMBDA && r->role != AG_POOL_INSTALL) return fault(AG_E_BADREQ, AG_ST_SLOT, "pool");
  if (scratch > MAX_SCRATCH_BYTES) return fault(AG_E_BADREQ, AG_ST_SLOT, "scratch size");
  if (check_fds(fds, nfds) < 0) return -1;
  struct slot made = {.state = SLOT_READY, .pool = r->role, .link_fd = -1, .pid_fd = -1};
  if (random_name(made.name) < 0 || cgroup_make(s, r->role, made.name, r->arg) < 0) return -1;
  if (rootfs_make(s, made.name, scratch) < 0) {
    (void)cgroup_remove(s, r->role, made.name);
    return -1;
  }
  made.listen_fd = fds[0];
  made.log_fd = fds[1];
  fds[0] = fds[1] = -1; /* ours now */
  *slot = made;
  return 0;
}

int slot_started(struct session *s, uint32_t id, int pid_fd, pid_t pid, bool own_child) {
  struct slot *slot = &s->slot[id];
  slot->pid_fd = pid_fd;
  slot->pid = pid;
  slot->own_child = own_child;
  slot->state = SLOT_PARKED;
  close_one(&slot->listen_fd); /* only the guest may hold it: its death must reset waiting clients */
  close_one(&slot->log_fd);
  return watch_fd(s, pid_fd, WATCH_PID, id);
}

/* AG_GO, and the end of every unparked start.
 * Safety: the code directory is one component below the caller's own code area, bound read-only. */
int slot_go(struct session *s, uint32_t id, const char *code) {
  struct slot *slot = &s->slot[id];
  struct ag_link_msg go = {.op = AG_LINK_GO, .role = slot->role};
  if (slot->state != SLOT_PARKED) return fault(AG_E_STATE, AG_ST_SLOT, "slot is not parked");
  if (code[0] && rootfs_bind(s, slot->name, s->code_fd, code, "handler", false) < 0) return -1;
  if (send(slot->link_fd, &go, sizeof go, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)sizeof go)
    return fault(AG_E_STATE, AG_ST_SLOT, "the guest ended before it was let go");
  slot->state = SLOT_RUNNING;
  if (slot->role != AG_ZYGOTE)
    close_one(&slot->link_fd);
  else if (watch_fd(s, slot->link_fd, WATCH_LINK, id) < 0)
    return -1;
  return 0;
}

static void wait_for(struct session *s, struct slot *slot, uint64_t seq) {
  if (!slot->wait_seq) s->busy++;
  slot->wait_seq = seq;
  slot->since_ms = now_ms();
}

static void answer(struct session *s, uint32_t id, int result, const uint64_t value[8]) {
  struct slot *slot = &s->slot[id];
  uint64_t seq = slot->wait_seq;
  if (!seq) return;
  slot->wait_seq = 0;
  slot->kill_waits = false;
  s->busy--;
  if (reply(seq, id, result, value) < 0) die(AG_ST_EVENTS, "completion pipe");
}

/* The next step of a slot that is being killed or destroyed; false while it is still dying. */
static bool settle(struct session *s, uint32_t id) {
  struct slot *slot = &s->slot[id];
  if (cgroup_populated(s, slot->pool, slot->name)) return false;
  if (slot->state != SLOT_DESTROYING) {
    answer(s, id, 0, NULL);
    return true;
  }
  /* A process leaves its cgroup before it can be waited for: the descriptor must not be closed before
   * that, or nothing would ever reap it. */
  if (slot->pid_fd >= 0 && slot->own_child) {
    siginfo_t info = {0};
    if (waitid((idtype_t)P_PIDFD, (id_t)slot->pid_fd, &info, WEXITED | WNOHANG) == 0 && !info.si_pid) return false;
  }
  if (cgroup_remove(s, slot->pool, slot->name) < 0) return false;
  rootfs_remove(s, slot->name);
  close_one(&slot->pid_fd);
  slot->state = SLOT_FREE;
  answer(s, id, 0, NULL);
  return true;
}

/* AG_KILL. Safety: only this slot's cgroup is killed, by a name of our own. */
int slot_kill(struct session *s, uint32_t id, uint64_t seq) {
  struct slot *slot = &s->slot[id];
  if (slot->state == SLOT_FREE || slot->state == SLOT_DESTROYING || slot->wait_seq)
    return fault(AG_E_STATE, AG_ST_KILL, "slot is free or busy");
  if (cgroup_kill(s, slot->pool, slot->name) < 0) return -1;
  slot->kill_waits = true;
  wait_for(s, slot, seq);
  (void)settle(s, id);
  return 0;
}

/* AG_DESTROY, from any state; a fork that was under way is answered as refused.
 * Safety: removes the slot's own cgroups and mounts by the random name we gave; no file tree is walked,
 * because scratch is a tmpfs that ends with its last mount. */
int slot_destroy(struct session *s, uint32_t id, uint64_t seq) {
  struct slot *slot = &s->slot[id];
  if (slot->state == SLOT_FREE || slot->state == SLOT_DESTROYING) return fault(AG_E_STATE, AG_ST_KILL, "slot is free");
  if (slot->wait_seq) answer(s, id, fault(AG_E_STATE, AG_ST_KILL, "destroyed meanwhile"), NULL);
  if (slot->link_fd >= 0 && slot->role == AG_ZYGOTE) zygote_lost(s, id);
  slot_close_channels(slot);
  slot->state = SLOT_DESTROYING;
  if (cgroup_kill(s, slot->pool, slot->name) < 0) return -1;
  wait_for(s, slot, seq);
  (void)settle(s, id);
  return 0;
}

/* The slot's first process ended: by itself, by the OOM killer, or by us. */
void slot_process_ended(struct session *s, uint32_t id) {
  struct slot *slot = &s->slot[id];
  siginfo_t info = {0};
  uint64_t status = ~0ull, oom = cgroup_oom_kills(s, slot->pool, slot->name);
  if (slot->pid_fd < 0) return;
  if (slot->own_child && waitid((idtype_t)P_PIDFD, (id_t)slot->pid_fd, &info, WEXITED | WNOHANG) == 0 && info.si_pid)
    status = info.si_code == CLD_EXITED ? (uint64_t)info.si_status << 8 : (uint64_t)info.si_status;
  pid_t pid = slot->pid;
  close_one(&slot->pid_fd); /* leaves the epoll set with it */
  slot->pid = 0;
  if (slot->state == SLOT_DESTROYING) {
    (void)settle(s, id);
    return;
  }
  if (slot->role == AG_ZYGOTE) zygote_lost(s, id);
  slot->state = SLOT_DEAD;
  slot_close_channels(slot);
  (void)cgroup_kill(s, slot->pool, slot->name); /* what it started must not live on without it */
  if (event_exit(id, status, oom, (uint64_t)pid) < 0) die(AG_ST_EVENTS, "completion pipe");
  if (slot->kill_waits) (void)settle(s, id);
}

/* Runs every few ms while s->busy: finishes slots whose processes have gone, gives up on stuck ones. */
void slots_tick(struct session *s) {
  uint64_t now = now_ms();
  for (uint32_t id = 1; s->busy && id <= AG_MAX_SLOTS; id++) {
    struct slot *slot = &s->slot[id];
    if (!slot->wait_seq) continue;
    if (slot->state == SLOT_FORKING) {
      if (now - slot->since_ms < FORK_WAIT_MS) continue;
      slot->state = SLOT_DEAD;
      slot_close_channels(slot);
      answer(s, id, fault(AG_E_ZYGOTE, AG_ST_FORK, "the zygote does not answer"), NULL);
    } else if (!settle(s, id) && now - slot->since_ms > KILL_WAIT_MS) {
      answer(s, id, fault(AG_E_STATE, AG_ST_KILL, "processes do not die"), NULL);
    }
  }
}
