/* SPDX-License-Identifier: Apache-2.0
 * The life of a slot: FREE -> READY -> (FORKING ->) PARKED -> RUNNING -> DEAD -> DESTROYING -> FREE. AG_DESTROY ends
 * a slot in any state. No function waits here: a kill is answered when an exit or a tick finds the cgroup empty. */
#include <sys/ioctl.h>

#include "verbs/verbs.h"

#define DEFAULT_SCRATCH_BYTES (64ull << 20)
#define MAX_SCRATCH_BYTES (16ull << 30)
/* Limit for a fork and for a kill. A zygote answers a fork in about 1 ms. SIGKILL takes effect in microseconds, unless
 * a process is in uninterruptible sleep. */
#define WAIT_MS 20000
#define CGROUP_REMOVE_MS 1000 /* an empty cgroup can be removed at once, unless a process moves in again */

static void close_channels(struct session *s, struct slot *slot) {
  for (int i = 0; i < 3; i++) close_scoped(&slot->guest_fd[i]);
  close_scoped(&slot->sync_fd);
  unwatch_fd(s, &slot->link_fd);
}

/* Checks the types of the descriptors that came with AG_SLOT. */
static int check_fds(const int fds[], unsigned nfds) {
  int on = 0;
  socklen_t n = sizeof on;
  if (nfds != 2 && nfds != 3) return fault(AG_E_BADREQ, AG_ST_SLOT, "two or three descriptors are needed");
  if (!is_unix_socket(fds[0], SOCK_STREAM) || getsockopt(fds[0], SOL_SOCKET, SO_ACCEPTCONN, &on, &n) < 0 || !on)
    return fault(AG_E_BADREQ, AG_ST_SLOT, "not a listening unix socket");
  bool pipes = is_pipes_write_end(fds[1]) && is_pipes_write_end(fds[nfds - 1]);
  return pipes ? 0 : fault(AG_E_BADREQ, AG_ST_SLOT, "log is not a pipe's write end");
}

/* AG_SLOT. Safety: the caller chooses a number. The helper chooses the random name of the directory and the cgroup. */
int slot_make(struct session *s, const struct ag_request *r, int fds[], unsigned nfds) {
  struct slot *slot = &s->slot[r->slot];
  uint64_t scratch = r->arg[AG_LIM_SCRATCH] ? r->arg[AG_LIM_SCRATCH] : DEFAULT_SCRATCH_BYTES;
  if (slot->state != SLOT_FREE) return fault(AG_E_STATE, AG_ST_SLOT, "slot in use");
  if (r->role != AG_POOL_LAMBDA && r->role != AG_POOL_INSTALL) return fault(AG_E_BADREQ, AG_ST_SLOT, "pool");
  if (!s->network[r->role]) return fault(AG_E_STATE, AG_ST_NETWORK, "NETWORK comes first");
  if (scratch > MAX_SCRATCH_BYTES) return fault(AG_E_BADREQ, AG_ST_SLOT, "scratch size");
  if (check_fds(fds, nfds) < 0) return -1;
  struct slot own = {.state = SLOT_READY, .pool = r->role, .id.ns_fd = -1, .link_fd = -1, .pid_fd = -1, .sync_fd = -1};
  if (random_name(own.name) < 0 || cgroup_make(s, &own, r->arg) < 0) return -1;
  if (rootfs_make(s, own.name, scratch) < 0) {
    (void)cgroup_remove(s, &own, true);
    return -1;
  }
  for (unsigned i = 0; i < 3; i++) /* without a third one, errors go to the log */
    own.guest_fd[i] = i < nfds ? take_fd(&fds[i]) : fcntl(own.guest_fd[1], F_DUPFD_CLOEXEC, 0);
  *slot = own;
  return 0;
}

int slot_started(struct session *s, uint32_t id, int pid_fd, pid_t pid, bool own_child) {
  struct slot *slot = &s->slot[id];
  slot->pid_fd = pid_fd, slot->pid = pid, slot->own_child = own_child;
  slot->state = SLOT_PARKED;
  /* Only the guest may hold these descriptors, so that its death resets the connections of waiting clients. */
  for (int i = 0; i < 3; i++) close_scoped(&slot->guest_fd[i]);
  return watch_fd(s, pid_fd, WATCH_PID, id);
}

/* AG_GO. A start that is not parked also ends with this function, with n = 0. Safety: see rootfs_bind_code(). */
int slot_go(struct session *s, uint32_t id, const char names[][AG_NAME_MAX], unsigned n) {
  struct slot *slot = &s->slot[id];
  struct ag_link_msg go = {.op = AG_LINK_GO, .role = slot->role};
  if (slot->state != SLOT_PARKED) return fault(AG_E_STATE, AG_ST_SLOT, "slot is not parked");
  if (rootfs_bind_code(s, slot->name, names, n) < 0) return -1;
  if (slot->role == AG_ZYGOTE && watch_fd(s, slot->link_fd, WATCH_LINK, id) < 0) return -1;
  if (send(slot->link_fd, &go, sizeof go, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)sizeof go)
    return fault(AG_E_STATE, AG_ST_SLOT, "the guest ended before it was let go");
  slot->state = SLOT_RUNNING;
  slot->park = false;
  if (slot->role != AG_ZYGOTE) close_scoped(&slot->link_fd);
  return slot_wake(slot) < 0 ? -1 : ids_ahead(s, id, IDS_AHEAD);
}

/* Lets a fresh guest that is not parked start Python. */
int slot_wake(struct slot *slot) {
  if (slot->sync_fd < 0 || slot->park) return 0;
  SCOPED int fd = take_fd(&slot->sync_fd);
  return write(fd, "", 1) == 1 ? 0 : fault_sys(AG_ST_SPAWN, "start");
}

/* slot_answer() answers request seq later. */
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
  complete(AG_REPLY, seq, id, result, value);
}

/* Kills by pidfd and by cgroup: a zygote that has left its cgroup is still the first process of its pid namespace, and
 * its death ends every process there. */
static void kill_all(struct session *s, struct slot *slot) {
  if (slot->pid_fd >= 0) syscall(SYS_pidfd_send_signal, slot->pid_fd, SIGKILL, NULL, 0);
  (void)cgroup_kill(s, slot->pool, slot->name); /* a tick repeats it */
}

static bool is_empty(struct session *s, const struct slot *slot) {
  struct pollfd ended = {.fd = slot->pid_fd, .events = POLLIN};
  if (slot->pid_fd >= 0 && poll(&ended, 1, 0) != 1) return false;
  return !cgroup_populated(s, slot->pool, slot->name);
}

/* Completes a kill or a destroy. Returns false while processes are still dying. */
static bool try_complete(struct session *s, uint32_t id) {
  struct slot *slot = &s->slot[id];
  if (!is_empty(s, slot)) return false;
  if (slot->state == SLOT_DESTROYING) {
    /* The cgroups are removed last, because all steps run again after a failure. A second removal could hit v1 cgroups
     * that serve another slot by then. */
    if (rootfs_remove(s, slot->name) < 0 || cgroup_remove(s, slot, true) < 0) return false;
    /* The exit event does not reap a process whose slot is DESTROYING. waitid() fails without harm when there is no
     * process. */
    if (slot->own_child) waitid((idtype_t)P_PIDFD, (id_t)slot->pid_fd, &(siginfo_t){0}, WEXITED | WNOHANG);
    unwatch_fd(s, &slot->pid_fd);
    ids_release(s, slot);
    slot->state = SLOT_FREE;
  }
  slot_answer(s, id, 0, NULL);
  return true;
}

/* Answers AG_FORK with the pid of the new slot's process, or with the fault. */
void slot_forked(struct session *s, uint32_t id, int result) {
  if (result < 0) slot_fail(s, id);
  slot_answer(s, id, result, (const uint64_t[8]){(uint64_t)s->slot[id].pid});
}

/* Fails the forks that wait for this zygote's answer. Otherwise each fork would fail only at its time limit. */
static void zygote_lost(struct session *s, uint32_t id) {
  for (uint32_t t = 1; s->busy && t <= AG_MAX_SLOTS; t++)
    if (s->slot[t].state == SLOT_FORKING && s->slot[t].source == id)
      slot_forked(s, t, fault(AG_E_ZYGOTE, AG_ST_FORK, "the zygote died"));
}

/* Ends a slot after a failed start or an exit. Only AG_DESTROY can follow. If the slot is a zygote's, the forks that
 * wait for this zygote fail, too, and this function is called for their slots. The recursion ends there, because no
 * fork waits for a zygote that never ran. */
void slot_fail(struct session *s, uint32_t id) {
  struct slot *slot = &s->slot[id];
  slot->state = SLOT_DEAD;
  if (slot->role == AG_ZYGOTE) zygote_lost(s, id);
  close_channels(s, slot);
  kill_all(s, slot);
}

/* AG_KILL. Safety: kills only this slot's cgroup and first process, which the helper made or found in that cgroup. */
int slot_kill(struct session *s, uint32_t id, uint64_t seq) {
  struct slot *slot = &s->slot[id];
  if (slot->wait_seq) return fault(AG_E_STATE, AG_ST_KILL, "slot is busy");
  if (slot->state == SLOT_READY) slot->state = SLOT_DEAD; /* no process is cloned into a killed cgroup */
  kill_all(s, slot);
  slot->kill_waits = true;
  slot_wait(s, id, seq);
  (void)try_complete(s, id);
  return 0;
}

/* AG_DESTROY, from any state. A request that waits for the slot is answered with a fault.
 * Safety: removes the slot's own cgroups and mounts, by the random name that the helper chose. It walks no file tree:
 * scratch is a tmpfs, which ends with its last mount. */
int slot_destroy(struct session *s, uint32_t id, uint64_t seq) {
  struct slot *slot = &s->slot[id];
  slot_answer(s, id, fault(AG_E_STATE, AG_ST_KILL, "destroyed meanwhile"), NULL);
  slot_fail(s, id);
  slot->state = SLOT_DESTROYING;
  slot_wait(s, id, seq);
  (void)try_complete(s, id);
  return 0;
}

/* The slot's first process has ended: by itself, by the OOM killer or by the helper. */
void slot_process_ended(struct session *s, uint32_t id) {
  struct slot *slot = &s->slot[id];
  siginfo_t info = {0};
  /* struct pidfd_info of Linux 6.15. The flag PIDFD_INFO_EXIT (8) asks the kernel for the wait status in the last word.
   * For a process that a zygote forked, this is the only source: the zygote ignores SIGCHLD, so the kernel reaps the
   * process. */
  uint32_t facts[16] = {8};
  if (slot->pid_fd < 0) return;
  if (slot->state == SLOT_DESTROYING) return (void)try_complete(s, id);
  uint64_t status = ~0ull, oom = 0, refused = 0;
  cgroup_final_counts(s, slot, &oom, &refused);
  if (slot->own_child && waitid((idtype_t)P_PIDFD, (id_t)slot->pid_fd, &info, WEXITED | WNOHANG) == 0 && info.si_pid)
    status = info.si_code == CLD_EXITED ? (uint64_t)info.si_status << 8 : (uint64_t)info.si_status;
  else if (ioctl(slot->pid_fd, _IOWR(0xff, 11, facts), facts) == 0 && facts[0] & 8)
    status = facts[15];
  unwatch_fd(s, &slot->pid_fd);
  slot_fail(s, id); /* its children must not outlive it */
  complete(AG_EVENT_EXIT, 0, id, 0, (const uint64_t[8]){status, oom, (uint64_t)slot->pid, refused});
  slot->pid = 0;
  if (slot->kill_waits) (void)try_complete(s, id);
}

/* Runs every TICK_MS ms while s->busy: completes slots whose processes have ended, and gives up slots that are stuck.
 */
void slots_tick(struct session *s) {
  uint64_t now = now_ms();
  unsigned left = s->busy;
  for (uint32_t id = 1; left && id <= AG_MAX_SLOTS; id++) {
    struct slot *slot = &s->slot[id];
    if (!slot->wait_seq) continue;
    left--;
    bool late = now - slot->since_ms > WAIT_MS;
    if (slot->state == SLOT_FORKING && late)
      slot_forked(s, id, fault(AG_E_ZYGOTE, AG_ST_FORK, "the zygote does not answer"));
    else if (slot->state != SLOT_FORKING && !try_complete(s, id)) {
      kill_all(s, slot);
      /* The slot has no process, but its cgroups cannot be removed. Only its zygote can bring a process into the v1
       * cgroups, so other processes of the zygote are there. The zygote ends, and every process of its pid namespace
       * ends with it. */
      bool occupied = slot->state == SLOT_DESTROYING && now - slot->since_ms > CGROUP_REMOVE_MS && is_empty(s, slot);
      if (occupied && session_zygote(s, slot)) slot_fail(s, slot->source);
      if (!late) continue;
      if (slot->state == SLOT_DESTROYING) slot->state = SLOT_DEAD; /* AG_DESTROY may be tried again */
      slot_answer(s, id, fault(AG_E_STATE, AG_ST_KILL, "processes do not die"), NULL);
    }
  }
}
