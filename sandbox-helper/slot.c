/* SPDX-License-Identifier: Apache-2.0
 * The life of a slot: FREE -> READY -> (FORKING ->) PARKED -> RUNNING -> DEAD -> DESTROYING -> FREE.
 * Nothing here waits: a kill is answered when the cgroup is seen empty, by an exit or by a tick. */
#include <poll.h>

#include "helper.h"

#define DEFAULT_SCRATCH_BYTES (64ull << 20)
#define MAX_SCRATCH_BYTES (16ull << 30)
/* A zygote answers a fork in about a millisecond, and SIGKILL takes effect in microseconds unless a
 * process sits in uninterruptible sleep: what takes this long is stuck. */
#define WAIT_MS 20000
#define SQUAT_MS 1000 /* who sees that a cgroup is empty can remove it at once, but for those that move in */

static void close_channels(struct session *s, struct slot *slot) {
  close_scoped(&slot->listen_fd);
  close_scoped(&slot->log_fd);
  close_scoped(&slot->sync_fd);
  unwatch_fd(s, &slot->link_fd);
}

/* The descriptors must be what they are said to be. */
static int check_fds(const int fds[], unsigned nfds) {
  int on = 0;
  socklen_t n = sizeof on;
  if (nfds != 2) return fault(AG_E_BADREQ, AG_ST_SLOT, "two descriptors are needed");
  if (!is_unix_socket(fds[0], SOCK_STREAM) || getsockopt(fds[0], SOL_SOCKET, SO_ACCEPTCONN, &on, &n) < 0 || !on)
    return fault(AG_E_BADREQ, AG_ST_SLOT, "not a listening unix socket");
  return is_pipes_write_end(fds[1]) ? 0 : fault(AG_E_BADREQ, AG_ST_SLOT, "log is not a pipe's write end");
}

/* AG_SLOT. Safety: the caller names a number; directory and cgroup get a random name of our own. */
int slot_make(struct session *s, const struct ag_request *r, int fds[], unsigned nfds) {
  struct slot *slot = &s->slot[r->slot];
  uint64_t scratch = r->arg[AG_LIM_SCRATCH_BYTES] ? r->arg[AG_LIM_SCRATCH_BYTES] : DEFAULT_SCRATCH_BYTES;
  if (slot->state != SLOT_FREE) return fault(AG_E_STATE, AG_ST_SLOT, "slot in use");
  if (r->role != AG_POOL_LAMBDA && r->role != AG_POOL_INSTALL) return fault(AG_E_BADREQ, AG_ST_SLOT, "pool");
  if (!s->network[r->role]) return fault(AG_E_STATE, AG_ST_NETWORK, "NETWORK comes first");
  if (scratch > MAX_SCRATCH_BYTES) return fault(AG_E_BADREQ, AG_ST_SLOT, "scratch size");
  if (check_fds(fds, nfds) < 0) return -1;
  struct slot made = {.state = SLOT_READY, .pool = r->role, .link_fd = -1, .pid_fd = -1, .sync_fd = -1};
  if (random_name(made.name) < 0 || cgroup_make(s, &made, r->arg) < 0) return -1;
  if (rootfs_make(s, made.name, scratch) < 0) {
    (void)cgroup_remove(s, &made, true);
    return -1;
  }
  made.listen_fd = take_fd(&fds[0]); /* ours now */
  made.log_fd = take_fd(&fds[1]);
  *slot = made;
  return 0;
}

int slot_started(struct session *s, uint32_t id, int pid_fd, pid_t pid, bool own_child) {
  struct slot *slot = &s->slot[id];
  slot->pid_fd = pid_fd, slot->pid = pid, slot->own_child = own_child;
  slot->state = SLOT_PARKED;
  close_scoped(&slot->listen_fd); /* only the guest may hold it: its death must reset waiting clients */
  close_scoped(&slot->log_fd);
  return watch_fd(s, pid_fd, WATCH_PID, id);
}

/* AG_GO, and the end of every unparked start.
 * Safety: the code directory is one component below the caller's own code area, bound read-only. */
int slot_go(struct session *s, uint32_t id, const char *code) {
  struct slot *slot = &s->slot[id];
  struct ag_link_msg go = {.op = AG_LINK_GO, .role = slot->role};
  if (slot->state != SLOT_PARKED) return fault(AG_E_STATE, AG_ST_SLOT, "slot is not parked");
  if (code[0] && rootfs_bind(s, slot->name, s->code_fd, code, "handler", false) < 0) return -1;
  if (slot->role == AG_ZYGOTE && watch_fd(s, slot->link_fd, WATCH_LINK, id) < 0) return -1;
  if (send(slot->link_fd, &go, sizeof go, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)sizeof go)
    return fault(AG_E_STATE, AG_ST_SLOT, "the guest ended before it was let go");
  slot->state = SLOT_RUNNING;
  slot->park = false;
  if (slot->role != AG_ZYGOTE) close_scoped(&slot->link_fd);
  return slot_wake(slot);
}

/* Ends a fresh guest's wait, unless it is parked. */
int slot_wake(struct slot *slot) {
  if (slot->sync_fd < 0 || slot->park) return 0;
  SCOPED int fd = take_fd(&slot->sync_fd);
  return write(fd, "", 1) == 1 ? 0 : fault_sys(AG_ST_SPAWN, "start");
}

/* The answer to request seq follows by slot_answer(). */
void slot_wait(struct session *s, uint32_t id, uint64_t seq) {
  struct slot *slot = &s->slot[id];
  if (!slot->wait_seq) s->busy++;
  slot->wait_seq = seq;
  slot->since_ms = now_ms();
}

void slot_answer(struct session *s, uint32_t id, int result, const uint64_t value[8]) {
  struct slot *slot = &s->slot[id];
  uint64_t seq = slot->wait_seq;
  if (!seq) return;
  slot->wait_seq = 0;
  slot->kill_waits = false;
  s->busy--;
  reply(seq, id, result, value);
}

/* Twice: a zygote that has moved out of its cgroup is still the first process of its pid namespace, and
 * takes everything in that along. */
static void kill_all(struct session *s, struct slot *slot) {
  if (slot->pid_fd >= 0) syscall(SYS_pidfd_send_signal, slot->pid_fd, SIGKILL, NULL, 0);
  (void)cgroup_kill(s, slot->pool, slot->name); /* if it fails, a tick tries again */
}

static bool is_empty(struct session *s, const struct slot *slot) {
  struct pollfd ended = {.fd = slot->pid_fd, .events = POLLIN};
  if (slot->pid_fd >= 0 && poll(&ended, 1, 0) != 1) return false;
  return !cgroup_populated(s, slot->pool, slot->name);
}

/* The next step of a slot that is being killed or destroyed; false while it is still dying. */
static bool settle(struct session *s, uint32_t id) {
  struct slot *slot = &s->slot[id];
  if (!is_empty(s, slot)) return false;
  if (slot->state == SLOT_DESTROYING) {
    /* The cgroups last: a failure has all of it tried again, and they may be lent on at once. */
    if (rootfs_remove(s, slot->name) < 0 || cgroup_remove(s, slot, true) < 0) return false;
    /* It is only here that nothing but this can reap it. */
    if (slot->pid_fd >= 0 && slot->own_child)
      waitid((idtype_t)P_PIDFD, (id_t)slot->pid_fd, &(siginfo_t){0}, WEXITED | WNOHANG);
    unwatch_fd(s, &slot->pid_fd);
    slot->state = SLOT_FREE;
  }
  slot_answer(s, id, 0, NULL);
  return true;
}

/* A start that went wrong, or an end: what there is of it ends, and only AG_DESTROY is left. Of a zygote, the forks
 * that it owes fail too; they never ran, so nothing is owed by them, and this calls itself no deeper. */
void slot_fail(struct session *s, uint32_t id) {
  struct slot *slot = &s->slot[id];
  slot->state = SLOT_DEAD;
  if (slot->role == AG_ZYGOTE) zygote_lost(s, id);
  close_channels(s, slot);
  kill_all(s, slot);
}

/* AG_KILL. Safety: only this slot's cgroup and first process are killed, which we made or adopted. */
int slot_kill(struct session *s, uint32_t id, uint64_t seq) {
  struct slot *slot = &s->slot[id];
  if (slot->wait_seq) return fault(AG_E_STATE, AG_ST_KILL, "slot is busy");
  if (slot->state == SLOT_READY) slot->state = SLOT_DEAD; /* nothing may be cloned into a killed cgroup */
  kill_all(s, slot);
  slot->kill_waits = true;
  slot_wait(s, id, seq);
  (void)settle(s, id);
  return 0;
}

/* AG_DESTROY, from any state; what was under way is answered as refused.
 * Safety: removes the slot's own cgroups and mounts by the random name we gave; no file tree is walked,
 * because scratch is a tmpfs that ends with its last mount. */
int slot_destroy(struct session *s, uint32_t id, uint64_t seq) {
  struct slot *slot = &s->slot[id];
  slot_answer(s, id, fault(AG_E_STATE, AG_ST_KILL, "destroyed meanwhile"), NULL);
  slot_fail(s, id);
  slot->state = SLOT_DESTROYING;
  slot_wait(s, id, seq);
  (void)settle(s, id);
  return 0;
}

/* The slot's first process ended: by itself, by the OOM killer, or by us. */
void slot_process_ended(struct session *s, uint32_t id) {
  struct slot *slot = &s->slot[id];
  siginfo_t info = {0};
  if (slot->pid_fd < 0) return;
  if (slot->state == SLOT_DESTROYING) {
    (void)settle(s, id);
    return;
  }
  uint64_t status = ~0ull, oom = cgroup_oom_kills(s, slot), refused = cgroup_pids_refused(s, slot);
  if (slot->own_child && waitid((idtype_t)P_PIDFD, (id_t)slot->pid_fd, &info, WEXITED | WNOHANG) == 0 && info.si_pid)
    status = info.si_code == CLD_EXITED ? (uint64_t)info.si_status << 8 : (uint64_t)info.si_status;
  unwatch_fd(s, &slot->pid_fd);
  slot_fail(s, id); /* what it started must not live on without it */
  event_exit(id, status, oom, (uint64_t)slot->pid, refused);
  slot->pid = 0;
  if (slot->kill_waits) (void)settle(s, id);
}

/* A slot's processes are gone and its cgroups can't be removed: the zygote that could bring a child into the v1 ones
 * has brought others in. It ends, and in its pid namespace all that it could have brought. */
static void evict(struct session *s, const struct slot *slot) {
  struct slot *zygote = &s->slot[slot->source];
  if (zygote->state != SLOT_RUNNING || strcmp(zygote->name, slot->v1.zygote) != 0) return;
  slot_fail(s, slot->source);
}

/* Runs every few ms while s->busy: finishes slots whose processes have gone, gives up on stuck ones. */
void slots_tick(struct session *s) {
  uint64_t now = now_ms();
  unsigned left = s->busy;
  for (uint32_t id = 1; left && id <= AG_MAX_SLOTS; id++) {
    struct slot *slot = &s->slot[id];
    if (!slot->wait_seq) continue;
    left--;
    bool late = now - slot->since_ms > WAIT_MS;
    if (slot->state == SLOT_FORKING && late) {
      slot_fail(s, id);
      slot_answer(s, id, fault(AG_E_ZYGOTE, AG_ST_FORK, "the zygote does not answer"), NULL);
    } else if (slot->state != SLOT_FORKING && !settle(s, id)) {
      kill_all(s, slot);
      if (slot->state == SLOT_DESTROYING && now - slot->since_ms > SQUAT_MS && is_empty(s, slot)) evict(s, slot);
      if (!late) continue;
      if (slot->state == SLOT_DESTROYING) slot->state = SLOT_DEAD; /* AG_DESTROY may be tried again */
      slot_answer(s, id, fault(AG_E_STATE, AG_ST_KILL, "processes do not die"), NULL);
    }
  }
}
