/* SPDX-License-Identifier: Apache-2.0
 * Brings guests into their v1 cgroups, on hybrid hosts: forked ones while they already run, fresh ones
 * before they become anything (spawn.c).
 *
 * POLICY: a write to a v1 cgroup.procs waits 8 to 14 ms on an idle machine for the kernel's lock over
 * all forks, longer than a whole cold start, so a forked guest does not wait for it. Until it has joined
 * it is bound by the limits of its zygote's cgroups, where it was born, and what memory it takes until
 * then stays charged there. One job serves all who wait, since only the first write of several is slow.
 *
 * Safety: a number read from the slot's v2 cgroup may, until it is written, pass to a process that is not a
 * guest at all, which would then have a guest's limits. So what reads and writes the numbers is a child in the
 * guest's own pid namespace: there, none names a process outside of the guest's tree, however fast a guest
 * forks. The job holds the pool's cgroup directories, the guests' pidfds, and CAP_SYS_ADMIN to enter; the child
 * drops that first, and being root's, nothing inside can signal or trace it. A guest that cannot be brought in
 * is killed. */
#include <sched.h>

#include "helper.h"

/* POLICY: a forked guest waits this long first, since many have ended again by then; fresh ones wait to go on. */
#define FORKED_WAIT_MS 4

static struct waiting {
  uint32_t id;
  uint64_t number, due_ms;
} queue[AG_MAX_SLOTS]; /* the first `served` are the job's */
static unsigned queued, served;

/* The slot, if its guest is still the one that began to wait. */
static struct slot *who_waits(struct session *s, const struct waiting *w) {
  struct slot *slot = &s->slot[w->id];
  bool lives = slot->state == SLOT_PARKED || slot->state == SLOT_RUNNING;
  return lives && slot->joining == w->number ? slot : NULL;
}

static void ended(struct session *s, uint64_t guests, int status) {
  for (unsigned i = 0; i < guests; i++) {
    struct slot *slot = who_waits(s, &queue[i]);
    if (!slot) continue;
    slot->joining = 0;
    if (status || slot_wake(slot) < 0) slot_fail(s, queue[i].id);
  }
  queued -= served;
  memmove(queue, queue + served, queued * sizeof *queue);
  served = 0;
}

/* A guest was born in this slot outside its v1 cgroups. */
int join_later(struct session *s, uint32_t id) {
  static uint64_t last;
  const int *v1 = s->pool[AG_POOL_LAMBDA].v1_fd;
  if (v1[CTL_MEMORY] < 0 && v1[CTL_PIDS] < 0 && v1[CTL_CPU] < 0) return 0;
  if (queued == AG_MAX_SLOTS) return fault(AG_E_LIMIT, AG_ST_CGROUP, "too many wait for cgroups");
  s->slot[id].joining = ++last;
  queue[queued++] = (struct waiting){id, last, s->slot[id].own_child ? 0 : now_ms() + FORKED_WAIT_MS};
  return 0;
}

/* vfork(): the child has the job's memory while the job waits, which spares half of what all this costs. It has
 * credentials of its own; what one leaves in that memory, the next must not build on. */
static int join_inside(struct session *s, const char *name, int pid_fd) {
  int status;
  if (setns(pid_fd, CLONE_NEWPID) < 0) return -1;
  pid_t pid = vfork();
  if (pid == 0) _exit(priv_keep(0, false) < 0 || cgroup_join_v1_all(s, AG_POOL_LAMBDA, name) < 0);
  return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0 ? 0 : -1;
}

/* Called when the loop has nothing more urgent to do; true: again soon. */
bool joins_start(struct session *s) {
  struct pool *pool = &s->pool[AG_POOL_LAMBDA];
  int fds[JOB_FDS] = {pool->v2_fd}, n = 1;
  unsigned waiting = 0, due = 0;
  for (unsigned i = 0; !served && i < queued; i++)
    if (who_waits(s, &queue[i])) {
      due |= queue[i].due_ms <= now_ms();
      queue[waiting++] = queue[i];
    }
  if (!served) queued = waiting;
  if (!due) return waiting;
  for (int c = 0; c < CTL_COUNT; c++)
    if (pool->v1_fd[c] >= 0) fds[n++] = pool->v1_fd[c];
  int guests = n; /* number of the first one's pidfd in the job */
  for (; served < queued && n < JOB_FDS; n++) {
    int pid_fd = s->slot[queue[served++].id].pid_fd;
    fds[n] = pid_fd >= 0 ? pid_fd : s->null_fd; /* it has ended meanwhile */
  }
  int job = job_fork(s, JOB_JOIN, fds, n, CAP(SYS_ADMIN), ended, served);
  if (job < 0) ended(s, served, -1);
  if (job <= 0) return false;
  pool->v2_fd = n = 0;
  for (int c = 0; c < CTL_COUNT; c++)
    if (pool->v1_fd[c] >= 0) pool->v1_fd[c] = ++n;
  for (unsigned i = 0; i < served; i++) {
    const struct slot *slot = &s->slot[queue[i].id];
    if (slot->pid_fd >= 0 && join_inside(s, slot->name, guests + (int)i) < 0)
      (void)cgroup_kill(s, AG_POOL_LAMBDA, slot->name);
  }
  _exit(0);
}
