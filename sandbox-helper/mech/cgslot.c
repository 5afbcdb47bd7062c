/* SPDX-License-Identifier: Apache-2.0
 * A slot's cgroups: its own in v2, and on hybrid hosts a set of v1 cgroups, which serves one slot after the other. */
#include "mech/mech.h"

#define V1_CACHE_MAX 64               /* sets */
#define V1_CACHE_MAX_BYTES (1u << 20) /* memory that may still be charged to a clean set */

static int controller_dir(const struct pool *pool, int c, const struct slot *slot) {
  return pool->v1_fd[c] >= 0 ? open_dir(pool->v1_fd[c], slot->v1.name) : open_dir(pool->v2_fd, slot->name);
}

/* Returns the path of a file of the cgroup with this name. Valid until the next call. */
static const char *slot_file(const char *name, const char *file) {
  static char path[CG_NAME + 32];
  snprintf(path, sizeof path, "%s/%s", name, file);
  return path;
}

static int put_number(int dir_fd, const char *path, uint64_t number, const char *if_zero) {
  char text[32];
  snprintf(text, sizeof text, "%llu", (unsigned long long)number);
  return put(dir_fd, path, number ? text : if_zero);
}

/* Reads the number after `key` in a flat keyed file, or the file's only number when key is NULL. Returns false when
 * there is no number. */
static bool read_number(int dir_fd, const char *path, const char *key, uint64_t *value) {
  char text[4096];
  if (get(dir_fd, path, text, sizeof text) < 0) return false;
  const char *at = key ? after_word(text, key, '\n') : text;
  if (at) *value = strtoull(at, NULL, 10);
  return at;
}

/* As read_number(), but returns the number; 0 when the file or the key is absent. */
static uint64_t get_number(int dir_fd, const char *path, const char *key) {
  uint64_t value;
  return read_number(dir_fd, path, key, &value) ? value : 0;
}

static int write_memory(bool v1, int fd, uint64_t memory, uint64_t swap) {
  /* In v1, the limit of memory and swap together must not be below the limit of memory, so the former is removed first.
   * Without swap accounting there is no such file. */
  if (v1) (void)put(fd, "memory.memsw.limit_in_bytes", "-1");
  if (put_number(fd, v1 ? "memory.limit_in_bytes" : "memory.max", memory, v1 ? "-1" : "max") < 0) return -1;
  int ok = v1 ? put_number(fd, "memory.memsw.limit_in_bytes", memory ? memory + swap : 0, "-1")
              : put_number(fd, "memory.swap.max", swap, "0");
  if (ok < 0 && errno != ENOENT) return -1;
  /* A sandbox that lost one process to the OOM killer is useless, so the kernel kills all of its processes. */
  return v1 || put(fd, "memory.oom.group", "1") == 0 || errno == ENOENT ? 0 : -1;
}

static int write_limits(bool v1, int c, int fd, const uint64_t limits[8], const struct v1_set *set) {
  char quota[64];
  if (c == CTL_MEMORY) return write_memory(v1, fd, limits[AG_LIM_MEM_BYTES], limits[AG_LIM_SWAP_BYTES]);
  if (c == CTL_PIDS) return put_number(fd, "pids.max", limits[AG_LIM_PIDS], "max");
  uint64_t weight = limits[AG_LIM_WEIGHT] * (v1 ? 10 : 1); /* v1's default is 1,024 */
  if (put_number(fd, v1 ? "cpu.shares" : "cpu.weight", weight, v1 ? "1024" : "100") < 0) return -1;
  if (v1 && set->limits[AG_LIM_CPU_PERCENT] == limits[AG_LIM_CPU_PERCENT]) return 0;
  unsigned long long usec = limits[AG_LIM_CPU_PERCENT] * 1000ull; /* µs per period of 100 ms; 100 % is one core */
  snprintf(quota, sizeof quota, v1 ? "%llu" : "%llu 100000", usec);
  return put(fd, v1 ? "cpu.cfs_quota_us" : "cpu.max", usec ? quota : v1 ? "-1" : "max 100000");
}

/* Whether controller c of a v1 set has these limits already. */
static bool is_set(const struct v1_set *set, int c, const uint64_t limits[8]) {
  static const enum ag_limit first[CTL_COUNT] = {AG_LIM_MEM_BYTES, AG_LIM_PIDS, AG_LIM_CPU_PERCENT};
  static const enum ag_limit second[CTL_COUNT] = {AG_LIM_SWAP_BYTES, AG_LIM_PIDS, AG_LIM_WEIGHT};
  return set->limits[first[c]] == limits[first[c]] && set->limits[second[c]] == limits[second[c]];
}

/* Leaves out v1 limits that are set already: for each CPU quota the kernel walks over all cgroups of the machine. */
int cgroup_limits(struct session *s, struct slot *slot, const uint64_t limits[8]) {
  struct pool *pool = &s->pool[slot->pool];
  for (int c = 0; c < CTL_COUNT; c++) {
    bool v1 = pool->v1_fd[c] >= 0;
    if (v1 && is_set(&slot->v1, c, limits)) continue;
    SCOPED int fd = controller_dir(pool, c, slot);
    if (fd < 0 || write_limits(v1, c, fd, limits, &slot->v1) < 0) {
      memset(slot->v1.limits, 0xff, sizeof slot->v1.limits);
      return fault_sys(AG_ST_CGROUP, controller_name[c]);
    }
  }
  memcpy(slot->v1.limits, limits, sizeof slot->v1.limits);
  return 0;
}

/* Clean v1 sets. POLICY: making and removing a set costs more than the rest of a short sandbox's life, and the cost
 * grows with the number of cgroups. v2 cgroups are not reused, because they were killed (cgroup.c).
 * Safety: a zygote receives descriptors that bring a child into a set (cgroup_open_tasks()), and may keep them. Such a
 * set serves only children of the same zygote, as long as the set exists. */
static struct v1_set v1_cache[V1_CACHE_MAX];
static unsigned v1_cached;

static struct v1_set cache_take(unsigned i) {
  struct v1_set set = v1_cache[i];
  memmove(&v1_cache[i], &v1_cache[i + 1], (--v1_cached - i) * sizeof *v1_cache);
  return set;
}

/* Removes the set's cgroups. Returns 1 when a cgroup remains, for example because a process is in it. */
static int remove_set(const struct pool *pool, const char *name) {
  int busy = 0;
  for (int c = 0; c < CTL_COUNT; c++)
    if (pool->v1_fd[c] >= 0) busy |= unlinkat(pool->v1_fd[c], name, AT_REMOVEDIR) < 0 && errno != ENOENT;
  return busy;
}

enum counter { BYTES, OOM_KILLS, PIDS, REFUSED, COUNTERS };

/* Reads a counter of the slot's cgroup, in v1 or v2. Returns false when it cannot be read. */
static bool read_counter(const struct session *s, const struct slot *slot, enum counter what, uint64_t *value) {
  static const struct {
    int controller;
    const char *v2, *v1, *key;
  } of[COUNTERS] = {[BYTES] = {CTL_MEMORY, "memory.current", "memory.usage_in_bytes", NULL},
                    [OOM_KILLS] = {CTL_MEMORY, "memory.events", "memory.oom_control", "oom_kill"},
                    [PIDS] = {CTL_PIDS, "pids.current", "pids.current", NULL},
                    [REFUSED] = {CTL_PIDS, "pids.events", "pids.events", "max"}};
  const struct pool *pool = &s->pool[slot->pool];
  SCOPED int dir = controller_dir(pool, of[what].controller, slot);
  bool v1 = pool->v1_fd[of[what].controller] >= 0;
  return dir >= 0 && read_number(dir, v1 ? of[what].v1 : of[what].v2, of[what].key, value);
}

/* Stores the slot's set if it is clean. A clean set has no process, has counted no OOM kill and no refused process, and
 * is charged for at most V1_CACHE_MAX_BYTES. A guest joins all cgroups of its set, so only the number of processes in
 * the pids cgroup is read. A zygote that received the set's descriptors can put a process into another cgroup of the
 * set. Such a set therefore serves only children of this zygote. A set whose counters cannot be read may be incomplete,
 * and is not stored. */
static bool cache_put(struct session *s, const struct slot *slot) {
  uint64_t n[COUNTERS];
  for (int i = 0; i < COUNTERS; i++)
    if (!read_counter(s, slot, (enum counter)i, &n[i])) return false;
  if (n[PIDS] || n[OOM_KILLS] || n[REFUSED] || n[BYTES] > V1_CACHE_MAX_BYTES) return false;
  if (v1_cached == V1_CACHE_MAX) {
    struct v1_set oldest = cache_take(0);
    if (remove_set(&s->pool[slot->pool], oldest.name)) {
      v1_cache[v1_cached++] = oldest; /* a zygote has moved a process into the set, so the set is kept */
      return false;
    }
  }
  v1_cache[v1_cached++] = slot->v1;
  return true;
}

static int make_cgroups(struct session *s, struct slot *slot) {
  struct pool *pool = &s->pool[slot->pool];
  SCOPED int fd = make_dir(pool->v2_fd, slot->name);
  if (fd < 0) return fault_sys(AG_ST_CGROUP, "make slot cgroup");
  for (unsigned i = v1_cached; i-- > 0;)
    if (!v1_cache[i].zygote[0]) {
      slot->v1 = cache_take(i);
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
  if (make_cgroups(s, slot) == 0 && cgroup_limits(s, slot, limits) == 0) return 0;
  (void)cgroup_remove(s, slot, false);
  return -1;
}

/* Opens the slot's v2 cgroup for CLONE_INTO_CGROUP by this user; O_PATH, so that a zygote can read nothing there. */
int cgroup_open(struct session *s, const struct slot *slot, uid_t cloner) {
  int pool = s->pool[slot->pool].v2_fd;
  SCOPED int fd = openat(pool, slot->name, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0 || fchownat(pool, slot_file(slot->name, "cgroup.procs"), cloner, 0, 0) < 0)
    return fault_sys(AG_ST_CGROUP, "open slot cgroup");
  return take_fd(&fd);
}

/* Opens the files to which a child writes 0 to join the slot's v1 cgroups. Returns their number, or -1. POLICY: the
 * child writes 0 to `tasks`, never a pid, and never to cgroup.procs. A thread that moves itself cannot fork or end at
 * the same time, so the kernel takes no lock over all forks (Linux 5.3). That lock costs 8 to 14 ms on an idle machine.
 * Safety: the files have the helper's rights, because the helper opened them. A process with such a file can move the
 * processes of the zygote's pid namespace into the set, and no other processes. All functions of these processes
 * require every package that the zygote runs. The limits of the set apply to a moved process. A fresh guest closes the
 * files before its program starts. */
int cgroup_open_tasks(struct session *s, struct slot *slot, const char *zygote, int fds[CTL_COUNT]) {
  const int *v1_fd = s->pool[slot->pool].v1_fd;
  int n = 0;
  for (unsigned i = v1_cached; i-- > 0;)
    if (!strcmp(v1_cache[i].zygote, zygote) &&
        !memcmp(v1_cache[i].limits, slot->v1.limits, sizeof v1_cache[i].limits)) {
      struct v1_set unused = slot->v1;
      slot->v1 = cache_take(i);
      v1_cache[v1_cached++] = unused;
      break;
    }
  snprintf(slot->v1.zygote, CG_NAME, "%s", zygote);
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
  char pid[16], inside[4096]; /* large enough: a new process has few children */
  snprintf(pid, sizeof pid, "%d", (int)slot->pid);
  for (int c = 0; c < CTL_COUNT; c++)
    if (v1_fd[c] >= 0 && (get(v1_fd[c], slot_file(slot->v1.name, "cgroup.procs"), inside, sizeof inside) < 0 ||
                          !after_word(inside, pid, '\n')))
      return false;
  return true;
}

/* The pid comes from the kernel, as a pid of the helper's pid namespace. No guest can forge it. 0: the cgroup is empty.
 */
pid_t cgroup_first_pid(struct session *s, unsigned p, const char *name) {
  return (pid_t)get_number(s->pool[p].v2_fd, slot_file(name, "cgroup.procs"), NULL);
}

int cgroup_freeze(struct session *s, unsigned p, const char *name, bool frozen) {
  int ok = put(s->pool[p].v2_fd, slot_file(name, "cgroup.freeze"), frozen ? "1" : "0");
  return ok < 0 ? fault_sys(AG_ST_CGROUP, "cgroup.freeze") : 0;
}

/* Records no fault: the callers try again, or have a fault to report already. */
int cgroup_kill(struct session *s, unsigned p, const char *name) {
  return put(s->pool[p].v2_fd, slot_file(name, "cgroup.kill"), "1");
}

bool cgroup_populated(struct session *s, unsigned p, const char *name) {
  return get_number(s->pool[p].v2_fd, slot_file(name, "cgroup.events"), "populated") != 0;
}

/* Removes the slot's cgroups, or stores the v1 set for reuse. Returns -1 without a fault while a process is dying
 * there. `whole` says that all of the slot's cgroups were made. The set is not stored when the v2 cgroup is missing,
 * because then an earlier call may have removed a part of the set. Must not be called again after it returned 0,
 * because the v1 cgroups may serve another slot. */
int cgroup_remove(struct session *s, struct slot *slot, bool whole) {
  struct pool *pool = &s->pool[slot->pool];
  int gone = unlinkat(pool->v2_fd, slot->name, AT_REMOVEDIR);
  if (gone < 0 && errno != ENOENT) return -1;
  if (gone == 0 && whole && cache_put(s, slot)) return 0;
  return slot->v1.name[0] && remove_set(pool, slot->v1.name) ? -1 : 0;
}

/* Counts of OOM kills, and of processes that the pids limit refused. */
void cgroup_final_counts(const struct session *s, const struct slot *slot, uint64_t *oom_kills, uint64_t *refused) {
  (void)read_counter(s, slot, OOM_KILLS, oom_kills);
  (void)read_counter(s, slot, REFUSED, refused);
}

/* memory.stat has the same keys in v1 and v2. */
int cgroup_pressure(struct session *s, const struct slot *slot, uint64_t value[8]) {
  struct pool *pool = &s->pool[slot->pool];
  SCOPED int memory = controller_dir(pool, CTL_MEMORY, slot), v2 = open_dir(pool->v2_fd, slot->name);
  if (memory < 0 || v2 < 0 || !read_counter(s, slot, BYTES, &value[AG_PRS_MEM_BYTES]))
    return fault_sys(AG_ST_CGROUP, "pressure");
  value[AG_PRS_REFAULTS] = get_number(memory, "memory.stat", "workingset_refault_file") +
                           get_number(memory, "memory.stat", "workingset_refault_anon");
  value[AG_PRS_MAJOR_FAULTS] = get_number(memory, "memory.stat", "pgmajfault");
  value[AG_PRS_FAULTS] = get_number(memory, "memory.stat", "pgfault");
  value[AG_PRS_USER_USEC] = get_number(v2, "cpu.stat", "user_usec");
  return 0;
}

int cgroup_usage(struct session *s, const struct slot *slot, uint64_t value[8]) {
  SCOPED int v2 = open_dir(s->pool[slot->pool].v2_fd, slot->name);
  if (v2 < 0 || !read_counter(s, slot, BYTES, &value[AG_USE_MEM_BYTES]) ||
      !read_counter(s, slot, PIDS, &value[AG_USE_PIDS]))
    return fault_sys(AG_ST_CGROUP, "usage");
  cgroup_final_counts(s, slot, &value[AG_USE_OOM_KILLS], &value[AG_USE_PIDS_REFUSED]);
  value[AG_USE_CPU_USEC] = get_number(v2, "cpu.stat", "usage_usec"); /* exists without the cpu controller, too */
  value[AG_USE_FROZEN] = get_number(v2, "cgroup.events", "frozen");
  value[AG_USE_PID] = (uint64_t)slot->pid;
  value[AG_USE_THREADS] = slot->pid ? get_number(s->proc_fd, proc_file(slot->pid, "status"), "Threads:") : 0;
  return 0;
}
