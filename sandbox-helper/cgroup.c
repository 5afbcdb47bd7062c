/* SPDX-License-Identifier: Apache-2.0
 * Cgroups on pure v2 hosts and on hybrid ones, where memory, pids and cpu still belong to v1: life and
 * death (CLONE_INTO_CGROUP, freeze, kill) are always v2's, each limit is wherever its controller is.
 *
 *   <cgroup_root>/<name>/{lambda,install}/cg-<random>     v2, and the same without the pool in v1
 *
 * The v2 descriptors that a zygote receives stem from a detached clone of the mount whose root is the
 * pool: ".." ends there, and the names in it are random and cannot be listed (0711). */
#include <linux/magic.h>
#include <linux/mount.h>
#include <sys/file.h>
#include <sys/vfs.h>

#include "helper.h"

static const char *const controller_name[CTL_COUNT] = {"memory", "pids", "cpu"};
const char *const pool_name[] = {NULL, "lambda", "install"};

/* How long leftovers of a dead helper may take to die, and its lock to vanish. */
#define LEFTOVER_WAIT_MS 5000
#define KEPT_MAX 64           /* clean v1 cgroups for later */
#define KEPT_BYTES (1u << 20) /* charged at most to one that counts as clean */

static int put(int dir_fd, const char *path, const char *text) {
  SCOPED int fd = openat(dir_fd, path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
  return fd < 0 || write(fd, text, strlen(text)) < 0 ? -1 : 0;
}

static int put_number(int dir_fd, const char *path, uint64_t number, const char *if_zero) {
  char text[32];
  snprintf(text, sizeof text, "%llu", (unsigned long long)number);
  return put(dir_fd, path, number ? text : if_zero);
}

static ssize_t get(int dir_fd, const char *path, char *text, size_t size) {
  SCOPED int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  ssize_t n = -1, got = 0; /* the kernel gives a long list in parts */
  while (fd >= 0 && (n = read(fd, text + got, size - 1 - (size_t)got)) > 0) got += n;
  text[got] = 0;
  return n < 0 ? -1 : got;
}

/* What follows `word` where it stands as a word of its own, first in the text or behind `before`; or NULL. */
static const char *after_word(const char *text, const char *word, char before) {
  size_t n = strlen(word);
  for (const char *at = text; (at = strstr(at, word)); at += n)
    if ((at == text || at[-1] == before) && strchr(" \t\n", at[n])) return at + n;
  return NULL;
}

/* The number after `key` in a flat keyed file, or the whole file's when key is NULL. */
static uint64_t get_number(int dir_fd, const char *path, const char *key) {
  char text[4096];
  if (get(dir_fd, path, text, sizeof text) < 0) return 0;
  const char *at = key ? after_word(text, key, '\n') : text;
  return at ? strtoull(at, NULL, 10) : 0;
}

static int open_dir(int dir_fd, const char *path) {
  return openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

static int make_dir(int dir_fd, const char *name) {
  if (mkdirat(dir_fd, name, 0711) < 0 && errno != EEXIST) return -1;
  /* The helper's umask is 077; an own cgroup must be searchable, and only that, for a zygote. */
  int fd = fchmodat(dir_fd, name, 0711, 0) < 0 ? -1 : open_dir(dir_fd, name);
  int saved = errno;
  if (fd < 0) unlinkat(dir_fd, name, AT_REMOVEDIR); /* fails, as it should, when it is in use */
  errno = saved;
  return fd;
}

static bool is_cgroup2(const char *path) {
  struct statfs fs;
  return statfs(path, &fs) == 0 && (unsigned long)fs.f_type == CGROUP2_SUPER_MAGIC;
}

/* Opens <mount>/<cgroup_root>; returns -1 with errno when it is not there. */
static int open_below(const char *mount, const char *below) {
  SCOPED int top = open(mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* of v1's it may be a link to `cpu,cpuacct` */
  return top < 0 || !below[0] ? take_fd(&top) : open_beneath(top, below, O_RDONLY | O_DIRECTORY);
}

static int find_hierarchies(struct session *s) {
  const char *v2 = is_cgroup2("/sys/fs/cgroup") ? "/sys/fs/cgroup" : "/sys/fs/cgroup/unified";
  if (!is_cgroup2(v2)) return fault(AG_E_SYS, AG_ST_CGROUP, "no cgroup v2 mount");
  char available[512];
  s->cg_parent_v2 = open_below(v2, s->config.cgroup_root);
  if (s->cg_parent_v2 < 0) return fault_sys(AG_ST_CGROUP, "cgroup_root (v2)");
  if (get(s->cg_parent_v2, "cgroup.controllers", available, sizeof available) < 0)
    return fault_sys(AG_ST_CGROUP, "cgroup.controllers");
  for (int c = 0; c < CTL_COUNT; c++) {
    char path[64];
    s->cg_parent_v1[c] = -1;
    if (after_word(available, controller_name[c], ' ')) continue;
    snprintf(path, sizeof path, "/sys/fs/cgroup/%s", controller_name[c]);
    s->cg_parent_v1[c] = open_below(path, s->config.cgroup_root);
    if (s->cg_parent_v1[c] < 0) return fault_sys(AG_ST_CGROUP, controller_name[c]);
  }
  return 0;
}

/* Turns on the controllers that v2 has for the children of dir_fd. */
static int enable_controllers(struct session *s, int dir_fd) {
  for (int c = 0; c < CTL_COUNT; c++) {
    char word[16];
    if (s->cg_parent_v1[c] >= 0) continue;
    snprintf(word, sizeof word, "+%s", controller_name[c]);
    if (put(dir_fd, "cgroup.subtree_control", word) < 0) return fault_sys(AG_ST_CGROUP, controller_name[c]);
  }
  return 0;
}

/* Removes every child cgroup of the one named, if there is one, their processes being dead or dying. */
static int remove_children(int parent_fd, const char *name) {
  SCOPED int fd = open_dir(parent_fd, name);
  if (fd < 0) return errno == ENOENT ? 0 : -1;
  DIR *d = fdopendir(fd);
  int failed = 0;
  if (!d) return -1;
  take_fd(&fd); /* closedir() closes it */
  for (struct dirent *e; (e = readdir(d));) {
    if (e->d_type != DT_DIR || e->d_name[0] == '.') continue;
    int tries = LEFTOVER_WAIT_MS / 5;
    while (unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR) < 0 && errno == EBUSY && tries--) usleep(5000);
    failed |= tries < 0;
  }
  closedir(d);
  return failed ? -1 : 0;
}

/* Kills and removes what a killed helper left under our name. */
static int clear_leftovers(struct session *s) {
  if (put(s->cg_top_v2, "cgroup.kill", "1") < 0) return fault_sys(AG_ST_CGROUP, "cgroup.kill (Linux 5.14)");
  for (int p = AG_POOL_LAMBDA; p <= AG_POOL_INSTALL; p++)
    /* The pool goes too: a killed cgroup must not be cloned into again on some kernels. */
    if (remove_children(s->cg_top_v2, pool_name[p]) < 0 ||
        (unlinkat(s->cg_top_v2, pool_name[p], AT_REMOVEDIR) < 0 && errno != ENOENT))
      return fault_sys(AG_ST_CGROUP, "leftover processes");
  for (int c = 0; c < CTL_COUNT; c++)
    if (s->cg_parent_v1[c] >= 0) (void)remove_children(s->cg_parent_v1[c], s->cg_name);
  return 0;
}

static int open_pool(struct session *s, int p) {
  struct pool *pool = &s->pool[p];
  SCOPED int dir = make_dir(s->cg_top_v2, pool_name[p]);
  if (dir < 0) return fault_sys(AG_ST_CGROUP, "make pool");
  if (enable_controllers(s, dir) < 0) return -1;
  /* CLONE_INTO_CGROUP by a zygote asks for write access to the common ancestor's cgroup.procs. */
  if (fchownat(dir, "cgroup.procs", s->config.sandbox_uid, 0, 0) < 0) return fault_sys(AG_ST_CGROUP, "chown");
  pool->v2_fd = (int)syscall(SYS_open_tree, dir, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
  if (pool->v2_fd < 0) return fault_sys(AG_ST_CGROUP, "clone cgroup mount");
  for (int c = 0; c < CTL_COUNT; c++) {
    pool->v1_fd[c] = s->cg_parent_v1[c] < 0 ? -1 : make_dir(s->cg_parent_v1[c], s->cg_name);
    if (pool->v1_fd[c] < 0 && s->cg_parent_v1[c] >= 0) return fault_sys(AG_ST_CGROUP, controller_name[c]);
  }
  return 0;
}

/* Locks the directory of our name. Its holder removes it at the end, so one that was waited for may be gone
 * by the time it is ours: only a lock on what the name still means counts. */
static int take_name(struct session *s) {
  for (int tries = 0; tries < 40; tries++) {
    struct stat held, named;
    s->cg_top_v2 = make_dir(s->cg_parent_v2, s->cg_name);
    if (s->cg_top_v2 < 0 && errno != ENOENT) return fault_sys(AG_ST_CGROUP, "make cgroup");
    if (s->cg_top_v2 >= 0 && flock(s->cg_top_v2, LOCK_EX | LOCK_NB) == 0 && fstat(s->cg_top_v2, &held) == 0 &&
        fstatat(s->cg_parent_v2, s->cg_name, &named, AT_SYMLINK_NOFOLLOW) == 0 && held.st_ino == named.st_ino)
      return 0;
    close_scoped(&s->cg_top_v2);
    usleep(50000); /* a helper that was just killed may still be dying */
  }
  return fault(AG_E_STATE, AG_ST_CGROUP, "a live helper has this name");
}

/* Takes the name: one living helper per name, leftovers of a dead one are removed.
 * Safety: the name is one component with a fixed suffix; another user's callers get their uid in it. */
int cgroup_start(struct session *s, const char *name) {
  const char *suffix = "-sandboxes";
  size_t n = strlen(name), m = strlen(suffix);
  if (!name_is_component(name) || n <= m || n > 100 || strcmp(name + n - m, suffix) != 0 ||
      name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")])
    return fault(AG_E_BADREQ, AG_ST_CGROUP, "cgroup name");
  char owner[16] = "";
  if (s->caller_uid) snprintf(owner, sizeof owner, "u%u-", s->caller_uid);
  snprintf(s->cg_name, sizeof s->cg_name, "%s%s", owner, name);
  if (find_hierarchies(s) < 0 || enable_controllers(s, s->cg_parent_v2) < 0 || take_name(s) < 0 ||
      clear_leftovers(s) < 0 || enable_controllers(s, s->cg_top_v2) < 0)
    return -1;
  return open_pool(s, AG_POOL_LAMBDA) < 0 || open_pool(s, AG_POOL_INSTALL) < 0 ? -1 : 0;
}

static int controller_dir(struct pool *pool, int c, const char *name) {
  return open_dir(pool->v1_fd[c] >= 0 ? pool->v1_fd[c] : pool->v2_fd, name);
}

/* A file of the slot's cgroup. */
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
  /* In v1 each write walks over all cgroups of the machine. */
  if (v1 && get_number(fd, "cpu.cfs_quota_us", NULL) == usec) return 0;
  snprintf(quota, sizeof quota, v1 ? "%llu" : "%llu 100000", usec);
  return put(fd, v1 ? "cpu.cfs_quota_us" : "cpu.max", usec ? quota : v1 ? "-1" : "max 100000");
}

int cgroup_limits(struct session *s, unsigned p, const char *name, const uint64_t limits[8]) {
  struct pool *pool = &s->pool[p];
  for (int c = 0; c < CTL_COUNT; c++) {
    SCOPED int fd = controller_dir(pool, c, name);
    if (fd < 0 || write_limits(pool->v1_fd[c] >= 0, c, fd, limits) < 0)
      return fault_sys(AG_ST_CGROUP, controller_name[c]);
  }
  return 0;
}

/* v1 cgroups that were left clean, under their last names. POLICY: making and removing one costs more than all else
 * of a short life, and the more the more there are; v2's, which were killed, must not be used again (see above). */
static char kept[KEPT_MAX][CG_NAME];
static unsigned nkept;

/* Clean: nobody is in it (who is in one is in all), and nothing counted or charged in it tells of its last sandbox. */
static bool keep(struct session *s, unsigned p, const char *name) {
  const int *v1 = s->pool[p].v1_fd;
  if (nkept == KEPT_MAX || v1[CTL_MEMORY] < 0 || v1[CTL_PIDS] < 0 || v1[CTL_CPU] < 0 ||
      get_number(v1[CTL_PIDS], slot_file(name, "pids.current"), NULL) != 0 ||
      get_number(v1[CTL_MEMORY], slot_file(name, "memory.usage_in_bytes"), NULL) > KEPT_BYTES ||
      cgroup_oom_kills(s, p, name) != 0)
    return false;
  memcpy(kept[nkept++], name, CG_NAME);
  return true;
}

static int make_all(struct session *s, struct pool *pool, const char *name) {
  const char *old = nkept ? kept[--nkept] : NULL;
  SCOPED int fd = make_dir(pool->v2_fd, name);
  if (fd < 0) return fault_sys(AG_ST_CGROUP, "make slot cgroup");
  if (fchownat(fd, "cgroup.procs", s->config.sandbox_uid, 0, 0) < 0) return fault_sys(AG_ST_CGROUP, "chown");
  for (int c = 0; c < CTL_COUNT; c++) {
    if (old && renameat(pool->v1_fd[c], old, pool->v1_fd[c], name) == 0) continue;
    if (old) unlinkat(pool->v1_fd[c], old, AT_REMOVEDIR);
    SCOPED int v1 = pool->v1_fd[c] < 0 ? -1 : make_dir(pool->v1_fd[c], name);
    if (v1 < 0 && pool->v1_fd[c] >= 0) return fault_sys(AG_ST_CGROUP, controller_name[c]);
  }
  return 0;
}

int cgroup_make(struct session *s, unsigned p, const char *name, const uint64_t limits[8]) {
  if (make_all(s, &s->pool[p], name) == 0 && cgroup_limits(s, p, name, limits) == 0) return 0;
  (void)cgroup_remove(s, p, name, false);
  return -1;
}

/* For CLONE_INTO_CGROUP; O_PATH so that a zygote can read nothing through it. */
int cgroup_open(struct session *s, unsigned p, const char *name) {
  int fd = openat(s->pool[p].v2_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  return fd < 0 ? fault_sys(AG_ST_CGROUP, "open slot cgroup") : fd;
}

int cgroup_join_v1(struct session *s, unsigned p, const char *name, pid_t pid) {
  for (int c = 0; c < CTL_COUNT; c++)
    if (s->pool[p].v1_fd[c] >= 0 &&
        put_number(s->pool[p].v1_fd[c], slot_file(name, "cgroup.procs"), (uint64_t)pid, "0") < 0)
      return fault_sys(AG_ST_CGROUP, controller_name[c]);
  return 0;
}

#define PROCS_TEXT 65536 /* a guest with more processes than fit here is a fork bomb */
#define JOIN_PASSES 100  /* and so is one that this does not catch up with */

/* Brings every process of a slot into its v1 cgroups; to be called in the guest's pid namespace. What is
 * forked by one that is inside is born inside, so it ends with a pass that finds nobody outside. Who is in the
 * hierarchy that is joined last is in all. */
int cgroup_join_v1_all(struct session *s, unsigned p, const char *name) {
  static char all[PROCS_TEXT], inside[PROCS_TEXT];
  int last = -1;
  inside[0] = 0; /* nobody yet; the guest before may have left its own */
  for (int c = 0; c < CTL_COUNT; c++)
    if (s->pool[p].v1_fd[c] >= 0) last = s->pool[p].v1_fd[c];
  for (int pass = 0; pass < JOIN_PASSES; pass++) {
    bool moved = false;
    if (get(s->pool[p].v2_fd, slot_file(name, "cgroup.procs"), all, sizeof all) >= PROCS_TEXT - 1 ||
        (pass && get(last, slot_file(name, "cgroup.procs"), inside, sizeof inside) < 0))
      return -1;
    for (char *at = all, *end; (end = strchr(at, '\n')); at = end + 1) {
      *end = 0;
      if (after_word(inside, at, '\n')) continue;
      /* 0 is how the kernel tells of a process outside: only a zygote that is up to something puts one there. */
      if (!strcmp(at, "0")) return -1;
      bool joined = cgroup_join_v1(s, p, name, (pid_t)strtol(at, NULL, 10)) == 0;
      if (!joined && last_fault()->sys_errno != ESRCH) return -1;
      moved |= joined;
    }
    if (!moved) return 0;
  }
  return -1;
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
 * and what an earlier try removed in part is not kept either, its v2 cgroup being gone. */
int cgroup_remove(struct session *s, unsigned p, const char *name, bool whole) {
  struct pool *pool = &s->pool[p];
  int gone = unlinkat(pool->v2_fd, name, AT_REMOVEDIR), busy = gone < 0 && errno != ENOENT;
  if (gone == 0 && whole && keep(s, p, name)) return 0;
  for (int c = 0; !busy && c < CTL_COUNT; c++)
    if (pool->v1_fd[c] >= 0) busy |= unlinkat(pool->v1_fd[c], name, AT_REMOVEDIR) < 0 && errno != ENOENT;
  return busy ? -1 : 0;
}

uint64_t cgroup_oom_kills(struct session *s, unsigned p, const char *name) {
  int v1 = s->pool[p].v1_fd[CTL_MEMORY];
  if (v1 >= 0) return get_number(v1, slot_file(name, "memory.oom_control"), "oom_kill");
  return get_number(s->pool[p].v2_fd, slot_file(name, "memory.events"), "oom_kill");
}

int cgroup_usage(struct session *s, const struct slot *slot, uint64_t value[8]) {
  struct pool *pool = &s->pool[slot->pool];
  const char *name = slot->name;
  char status[32];
  SCOPED int memory = controller_dir(pool, CTL_MEMORY, name), pids = controller_dir(pool, CTL_PIDS, name);
  SCOPED int v2 = open_dir(pool->v2_fd, name);
  if (memory < 0 || pids < 0 || v2 < 0) return fault_sys(AG_ST_CGROUP, "usage");
  value[AG_USE_MEM_BYTES] =
      get_number(memory, pool->v1_fd[CTL_MEMORY] >= 0 ? "memory.usage_in_bytes" : "memory.current", NULL);
  value[AG_USE_PIDS] = get_number(pids, "pids.current", NULL);
  value[AG_USE_OOM_KILLS] = cgroup_oom_kills(s, slot->pool, name);
  value[AG_USE_CPU_USEC] = get_number(v2, "cpu.stat", "usage_usec"); /* v2 counts time without a controller */
  value[AG_USE_FROZEN] = get_number(v2, "cgroup.events", "frozen");
  value[AG_USE_PID] = (uint64_t)slot->pid;
  snprintf(status, sizeof status, "%d/status", (int)slot->pid);
  value[AG_USE_THREADS] = slot->pid ? get_number(s->proc_fd, status, "Threads:") : 0;
  return 0;
}

/* Kills everything at once and removes every cgroup that this helper made. */
void cgroup_stop(struct session *s) {
  if (s->cg_top_v2 <= 0) return;
  (void)clear_leftovers(s);
  for (int c = 0; c < CTL_COUNT; c++)
    if (s->cg_parent_v1[c] >= 0) unlinkat(s->cg_parent_v1[c], s->cg_name, AT_REMOVEDIR);
  unlinkat(s->cg_parent_v2, s->cg_name, AT_REMOVEDIR);
}
