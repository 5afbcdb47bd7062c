/* SPDX-License-Identifier: Apache-2.0
 * A slot's cgroups: its own in v2, and on hybrid hosts a set of v1 ones, which is lent to one slot after the other. */
#include "cgfile.h"

#define KEPT_MAX 64           /* clean v1 sets for later */
#define KEPT_BYTES (1u << 20) /* charged at most to one that counts as clean */

static int controller_dir(struct pool *pool, int c, const struct slot *slot) {
  return pool->v1_fd[c] >= 0 ? open_dir(pool->v1_fd[c], slot->v1.name) : open_dir(pool->v2_fd, slot->name);
}

/* A file of the cgroup of this name. */
static const char *slot_file(const char *name, const char *file) {
  static char path[CG_NAME + 32];
  snprintf(path, sizeof path, "%s/%s", name, file);
  return path;
}

static int write_memory(bool v1, int fd, uint64_t memory, uint64_t swap) {
  /* v1: memory+swap must never be below memory, so it is lifted first. Without swap accounting it is missing. */
  if (v1) (void)put(fd, "memory.memsw.limit_in_bytes", "-1");
  if (put_number(fd, v1 ? "memory.limit_in_bytes" : "memory.max", memory, v1 ? "-1" : "max") < 0) return -1;
  int ok = v1 ? put_number(fd, "memory.memsw.limit_in_bytes", memory ? memory + swap : 0, "-1")
              : put_number(fd, "memory.swap.max", swap, "0");
  if (ok < 0 && errno != ENOENT) return -1;
  /* One process of a sandbox out of memory: all of it is useless. */
  return v1 || put(fd, "memory.oom.group", "1") == 0 || errno == ENOENT ? 0 : -1;
}

static int write_limits(bool v1, int c, int fd, const uint64_t limits[8]) {
  char quota[64];
  if (c == CTL_MEMORY) return write_memory(v1, fd, limits[AG_LIM_MEM_BYTES], limits[AG_LIM_SWAP_BYTES]);
  if (c == CTL_PIDS) return put_number(fd, "pids.max", limits[AG_LIM_PIDS], "max");
  unsigned long long usec = limits[AG_LIM_CPU_PERCENT] * 1000ull; /* of a period of 100 ms; 100 % is one core */
  snprintf(quota, sizeof quota, v1 ? "%llu" : "%llu 100000", usec);
  return put(fd, v1 ? "cpu.cfs_quota_us" : "cpu.max", usec ? quota : v1 ? "-1" : "max 100000");
}

/* Whether controller c of a v1 set has these limits already. */
static bool is_set(const struct v1_set *set, int c, const uint64_t limits[8]) {
  static const enum ag_limit of[CTL_COUNT] = {AG_LIM_MEM_BYTES, AG_LIM_PIDS, AG_LIM_CPU_PERCENT};
  if (set->unsure || (c == CTL_MEMORY && set->limits[AG_LIM_SWAP_BYTES] != limits[AG_LIM_SWAP_BYTES])) return false;
  return set->limits[of[c]] == limits[of[c]];
}

/* In v1 only what changes is written: each quota makes the kernel walk over all cgroups of the machine. */
int cgroup_limits(struct session *s, struct slot *slot, const uint64_t limits[8]) {
  struct pool *pool = &s->pool[slot->pool];
  for (int c = 0; c < CTL_COUNT; c++) {
    bool v1 = pool->v1_fd[c] >= 0;
    if (v1 && is_set(&slot->v1, c, limits)) continue;
    SCOPED int fd = controller_dir(pool, c, slot);
    if (fd < 0 || write_limits(v1, c, fd, limits) < 0) {
      slot->v1.unsure = true;
      return fault_sys(AG_ST_CGROUP, controller_name[c]);
    }
  }
  slot->v1.unsure = false;
  memcpy(slot->v1.limits, limits, sizeof slot->v1.limits);
  slot->v1.limits[AG_LIM_SCRATCH_BYTES] = 0; /* no cgroup's */
  return 0;
}

/* v1 sets that were left clean. POLICY: making and removing one costs more than all else of a short life, and the more
 * the more there are; v2 cgroups, which were killed, must not be used again (cgroup.c).
 * Safety: a zygote is given the means to bring its children into a set (cgroup_tasks()) and may keep them, so such a
 * set never serves anybody but children of the same zygote, for as long as it is there. */
static struct v1_set kept[KEPT_MAX];
static unsigned nkept;

static struct v1_set unkeep(unsigned i) {
  struct v1_set set = kept[i];
  memmove(&kept[i], &kept[i + 1], (--nkept - i) * sizeof *kept);
  return set;
}

/* 0, or 1 while somebody is in one of them. */
static int remove_set(const struct pool *pool, const char *name) {
  int busy = 0;
  for (int c = 0; c < CTL_COUNT; c++)
    if (pool->v1_fd[c] >= 0) busy |= unlinkat(pool->v1_fd[c], name, AT_REMOVEDIR) < 0 && errno != ENOENT;
  return busy;
}

/* Clean: nobody is in it (who is in one is in all), and nothing counted or charged in it tells of its last sandbox.
 * What can't be read is not clean: the set may not even be there. */
static bool is_clean(const int v1_fd[CTL_COUNT], const char *name) {
  uint64_t pids, bytes, oom_kills, refused;
  if (v1_fd[CTL_MEMORY] < 0 || v1_fd[CTL_PIDS] < 0 || v1_fd[CTL_CPU] < 0) return false;
  return read_number(v1_fd[CTL_PIDS], slot_file(name, "pids.current"), NULL, &pids) && pids == 0 &&
         read_number(v1_fd[CTL_MEMORY], slot_file(name, "memory.usage_in_bytes"), NULL, &bytes) &&
         bytes <= KEPT_BYTES &&
         read_number(v1_fd[CTL_MEMORY], slot_file(name, "memory.oom_control"), "oom_kill", &oom_kills) &&
         oom_kills == 0 && read_number(v1_fd[CTL_PIDS], slot_file(name, "pids.events"), "max", &refused) &&
         refused == 0;
}

static bool keep(struct session *s, const struct slot *slot) {
  const struct pool *pool = &s->pool[slot->pool];
  if (slot->v1.unsure || !is_clean(pool->v1_fd, slot->v1.name)) return false;
  if (nkept == KEPT_MAX) {
    struct v1_set oldest = unkeep(0);
    if (remove_set(pool, oldest.name)) {
      kept[nkept++] = oldest; /* a zygote has moved in: it may stay there, but not make us forget it */
      return false;
    }
  }
  kept[nkept++] = slot->v1;
  return true;
}

static int make_all(struct session *s, struct slot *slot) {
  struct pool *pool = &s->pool[slot->pool];
  SCOPED int fd = make_dir(pool->v2_fd, slot->name);
  if (fd < 0) return fault_sys(AG_ST_CGROUP, "make slot cgroup");
  if (fchownat(fd, "cgroup.procs", s->config.sandbox_uid, 0, 0) < 0) return fault_sys(AG_ST_CGROUP, "chown");
  for (unsigned i = nkept; i-- > 0;)
    if (!kept[i].zygote[0]) {
      slot->v1 = unkeep(i);
      return 0;
    }
  memcpy(slot->v1.name, slot->name, CG_NAME);
  for (int c = 0; c < CTL_COUNT; c++) {
    SCOPED int v1 = pool->v1_fd[c] < 0 ? -1 : make_dir(pool->v1_fd[c], slot->name);
    if (v1 < 0 && pool->v1_fd[c] >= 0) return fault_sys(AG_ST_CGROUP, controller_name[c]);
  }
  return 0;
}

int cgroup_make(struct session *s, struct slot *slot, const uint64_t limits[8]) {
  if (make_all(s, slot) == 0 && cgroup_limits(s, slot, limits) == 0) return 0;
  (void)cgroup_remove(s, slot, false);
  return -1;
}

/* For CLONE_INTO_CGROUP; O_PATH so that a zygote can read nothing through it. */
int cgroup_open(struct session *s, unsigned p, const char *name) {
  int fd = openat(s->pool[p].v2_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  return fd < 0 ? fault_sys(AG_ST_CGROUP, "open slot cgroup") : fd;
}

/* Brings the calling process, which must have one thread, into the slot's v1 cgroups. POLICY: by `tasks` and 0, never
 * by cgroup.procs or a number: only of a thread that moves itself does the kernel know that it can neither fork nor
 * end meanwhile, and takes no lock over all forks (Linux 5.3), which is 8 to 14 ms of waiting on an idle machine. */
int cgroup_join_v1(struct session *s, const struct slot *slot) {
  const int *v1_fd = s->pool[slot->pool].v1_fd;
  for (int c = 0; c < CTL_COUNT; c++)
    if (v1_fd[c] >= 0 && put(v1_fd[c], slot_file(slot->v1.name, "tasks"), "0") < 0) return -1;
  return 0;
}

/* The same for a zygote's child: opens what it has to write 0 to. Returns how many, or -1.
 * Safety: whoever writes here may bring in any process that it sees, with our rights, not only itself: of the zygote's
 * own pid namespace, all of whose functions have asked for all that the zygote runs. It can so neither reach others nor
 * get out of all limits, only into a child's. */
int cgroup_tasks(struct session *s, struct slot *slot, const char *zygote, int fds[CTL_COUNT]) {
  const int *v1_fd = s->pool[slot->pool].v1_fd;
  int n = 0;
  for (unsigned i = nkept; i-- > 0;)
    if (!strcmp(kept[i].zygote, zygote) && !memcmp(kept[i].limits, slot->v1.limits, sizeof kept[i].limits)) {
      struct v1_set unused = slot->v1;
      slot->v1 = unkeep(i);
      kept[nkept++] = unused;
      break;
    }
  memcpy(slot->v1.zygote, zygote, CG_NAME);
  for (int c = 0; c < CTL_COUNT; c++)
    if (v1_fd[c] >= 0 && (fds[n++] = openat(v1_fd[c], slot_file(slot->v1.name, "tasks"), O_WRONLY | O_CLOEXEC)) < 0) {
      fault_sys(AG_ST_CGROUP, controller_name[c]);
      while (--n > 0) close(fds[n - 1]);
      return -1;
    }
  return n;
}

/* Whether the slot's first process is in its v1 cgroups. */
bool cgroup_has_joined(struct session *s, const struct slot *slot) {
  const int *v1_fd = s->pool[slot->pool].v1_fd;
  char pid[16], inside[4096]; /* it has just been born: many children it can't have yet */
  snprintf(pid, sizeof pid, "%d", (int)slot->pid);
  for (int c = 0; c < CTL_COUNT; c++)
    if (v1_fd[c] >= 0 && (get(v1_fd[c], slot_file(slot->v1.name, "cgroup.procs"), inside, sizeof inside) < 0 ||
                          !after_word(inside, pid, '\n')))
      return false;
  return true;
}

/* The kernel tells pids as this process sees them, so no guest has to be believed. 0: empty. */
pid_t cgroup_first_pid(struct session *s, unsigned p, const char *name) {
  return (pid_t)get_number(s->pool[p].v2_fd, slot_file(name, "cgroup.procs"), NULL);
}

int cgroup_freeze(struct session *s, unsigned p, const char *name, bool frozen) {
  int ok = put(s->pool[p].v2_fd, slot_file(name, "cgroup.freeze"), frozen ? "1" : "0");
  return ok < 0 ? fault_sys(AG_ST_CGROUP, "cgroup.freeze") : 0;
}

/* No fault: who calls this tries again or has one to report already. */
int cgroup_kill(struct session *s, unsigned p, const char *name) {
  return put(s->pool[p].v2_fd, slot_file(name, "cgroup.kill"), "1");
}

bool cgroup_populated(struct session *s, unsigned p, const char *name) {
  return get_number(s->pool[p].v2_fd, slot_file(name, "cgroup.events"), "populated") != 0;
}

/* Removes the slot's cgroups; -1 (no fault) while something in them is still dying. `whole`: all of them were made;
 * and what an earlier try removed in part is not kept either, its v2 cgroup being gone. Not to be called again once it
 * has returned 0: the v1 ones may be another's by then. */
int cgroup_remove(struct session *s, struct slot *slot, bool whole) {
  struct pool *pool = &s->pool[slot->pool];
  int gone = unlinkat(pool->v2_fd, slot->name, AT_REMOVEDIR);
  if (gone < 0 && errno != ENOENT) return -1;
  if (gone == 0 && whole && keep(s, slot)) return 0;
  return slot->v1.name[0] && remove_set(pool, slot->v1.name) ? -1 : 0;
}

uint64_t cgroup_oom_kills(struct session *s, const struct slot *slot) {
  int v1 = s->pool[slot->pool].v1_fd[CTL_MEMORY];
  if (v1 >= 0) return get_number(v1, slot_file(slot->v1.name, "memory.oom_control"), "oom_kill");
  return get_number(s->pool[slot->pool].v2_fd, slot_file(slot->name, "memory.events"), "oom_kill");
}

/* How often a process or thread was refused because there were as many as may be. */
uint64_t cgroup_pids_refused(struct session *s, const struct slot *slot) {
  SCOPED int pids = controller_dir(&s->pool[slot->pool], CTL_PIDS, slot);
  return pids < 0 ? 0 : get_number(pids, "pids.events", "max");
}

static uint64_t memory_bytes(const struct pool *pool, int memory_fd) {
  return get_number(memory_fd, pool->v1_fd[CTL_MEMORY] >= 0 ? "memory.usage_in_bytes" : "memory.current", NULL);
}

/* Both versions of memory.stat have the same names for these. */
int cgroup_pressure(struct session *s, const struct slot *slot, uint64_t value[8]) {
  struct pool *pool = &s->pool[slot->pool];
  SCOPED int memory = controller_dir(pool, CTL_MEMORY, slot), v2 = open_dir(pool->v2_fd, slot->name);
  if (memory < 0 || v2 < 0) return fault_sys(AG_ST_CGROUP, "pressure");
  value[AG_PRS_MEM_BYTES] = memory_bytes(pool, memory);
  value[AG_PRS_REFAULTS] = get_number(memory, "memory.stat", "workingset_refault_file") +
                           get_number(memory, "memory.stat", "workingset_refault_anon");
  value[AG_PRS_MAJOR_FAULTS] = get_number(memory, "memory.stat", "pgmajfault");
  value[AG_PRS_FAULTS] = get_number(memory, "memory.stat", "pgfault");
  value[AG_PRS_USER_USEC] = get_number(v2, "cpu.stat", "user_usec");
  return 0;
}

int cgroup_usage(struct session *s, const struct slot *slot, uint64_t value[8]) {
  struct pool *pool = &s->pool[slot->pool];
  char status[32];
  SCOPED int memory = controller_dir(pool, CTL_MEMORY, slot), pids = controller_dir(pool, CTL_PIDS, slot);
  SCOPED int v2 = open_dir(pool->v2_fd, slot->name);
  if (memory < 0 || pids < 0 || v2 < 0) return fault_sys(AG_ST_CGROUP, "usage");
  value[AG_USE_MEM_BYTES] = memory_bytes(pool, memory);
  value[AG_USE_PIDS] = get_number(pids, "pids.current", NULL);
  value[AG_USE_OOM_KILLS] = cgroup_oom_kills(s, slot);
  value[AG_USE_PIDS_REFUSED] = cgroup_pids_refused(s, slot);
  value[AG_USE_CPU_USEC] = get_number(v2, "cpu.stat", "usage_usec"); /* v2 counts time without a controller */
  value[AG_USE_FROZEN] = get_number(v2, "cgroup.events", "frozen");
  value[AG_USE_PID] = (uint64_t)slot->pid;
  snprintf(status, sizeof status, "%d/status", (int)slot->pid);
  value[AG_USE_THREADS] = slot->pid ? get_number(s->proc_fd, status, "Threads:") : 0;
  return 0;
}
