/* SPDX-License-Identifier: Apache-2.0
 * Brings forked guests into their v1 cgroups, on hybrid hosts, while they already run.
 *
 * POLICY: a write to a v1 cgroup.procs waits 8 to 14 ms on an idle machine for the kernel's lock over
 * all forks, longer than a whole cold start, so a forked guest does not wait for it. Until it has joined
 * it is bound by the limits of its zygote's cgroups, where it was born, and what memory it takes until
 * then stays charged there. One job serves all who wait, since only the first write of several is slow.
 *
 * Safety: the job holds the pool's cgroup directories and no capability. What it finds is read from the
 * slot's v2 cgroup, which no guest can leave; a guest that cannot be brought in is killed. */
#include "helper.h"

static uint32_t queue[AG_MAX_SLOTS]; /* the first `served` are the job's */
static unsigned queued, served;

static void ended(struct session *s, uint64_t tag, int status) {
  (void)tag;
  for (unsigned i = 0; i < served && status; i++)
    if (s->slot[queue[i]].state == SLOT_PARKED || s->slot[queue[i]].state == SLOT_RUNNING) slot_fail(s, queue[i]);
  queued -= served;
  memmove(queue, queue + served, queued * sizeof *queue);
  served = 0;
}

/* A guest was born in this slot outside its v1 cgroups. */
int join_later(struct session *s, uint32_t id) {
  const int *v1 = s->pool[AG_POOL_LAMBDA].v1_fd;
  if (v1[CTL_MEMORY] < 0 && v1[CTL_PIDS] < 0 && v1[CTL_CPU] < 0) return 0;
  if (queued == AG_MAX_SLOTS) return fault(AG_E_LIMIT, AG_ST_CGROUP, "too many wait for cgroups");
  queue[queued++] = id;
  return 0;
}

/* Called when the loop has nothing more urgent to do. */
void joins_start(struct session *s) {
  struct pool *pool = &s->pool[AG_POOL_LAMBDA];
  int fds[1 + CTL_COUNT] = {pool->v2_fd}, n = 1;
  if (served || !queued) return;
  served = queued;
  for (int c = 0; c < CTL_COUNT; c++)
    if (pool->v1_fd[c] >= 0) fds[n++] = pool->v1_fd[c];
  int job = job_fork(s, JOB_JOIN, fds, n, 0, ended, 0);
  if (job < 0) ended(s, 0, -1);
  if (job <= 0) return;
  pool->v2_fd = n = 0;
  for (int c = 0; c < CTL_COUNT; c++)
    if (pool->v1_fd[c] >= 0) pool->v1_fd[c] = ++n;
  for (unsigned i = 0; i < served; i++)
    if (cgroup_join_v1_all(s, AG_POOL_LAMBDA, s->slot[queue[i]].name) < 0)
      (void)cgroup_kill(s, AG_POOL_LAMBDA, s->slot[queue[i]].name);
  _exit(0);
}
