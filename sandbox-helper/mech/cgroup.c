/* SPDX-License-Identifier: Apache-2.0
 * Cgroups on pure v2 hosts and on hybrid hosts, where memory, pids and cpu belong to v1. CLONE_INTO_CGROUP, freeze and
 * kill always use v2. Each limit is set where its controller is.
 *
 *   <cgroup_root>/<name>/{lambda,install}/cg-<random>     v2, and the same without the pool in v1
 *
 * A zygote receives descriptors in a detached clone of the v2 mount. The root of the clone is the pool, so ".." leads
 * no further than the pool. The names in the pool are random and cannot be listed (0711). */
#include <linux/magic.h>
#include <linux/mount.h>
#include <sys/vfs.h>

#include "mech/mech.h"

const char *const controller_name[CTL_COUNT] = {"memory", "pids", "cpu"};
const char *const pool_name[] = {NULL, "lambda", "install"};

/* Time limit for the end of a dead helper's processes. */
#define LEFTOVER_WAIT_MS 5000

static bool is_cgroup2(const char *path) {
  struct statfs fs;
  return statfs(path, &fs) == 0 && (unsigned long)fs.f_type == CGROUP2_SUPER_MAGIC;
}

/* Opens <mount>/<cgroup_root>; returns -1 with errno when it is not there. */
static int open_below(const char *mount, const char *below) {
  SCOPED int top = open(mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* the mount of v1 may be a link to `cpu,cpuacct` */
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

/* Enables v2's controllers for the children of dir_fd. */
static int enable_controllers(struct session *s, int dir_fd) {
  for (int c = 0; c < CTL_COUNT; c++) {
    char word[16];
    if (s->cg_parent_v1[c] >= 0) continue;
    snprintf(word, sizeof word, "+%s", controller_name[c]);
    if (put(dir_fd, "cgroup.subtree_control", word) < 0) return fault_sys(AG_ST_CGROUP, controller_name[c]);
  }
  return 0;
}

/* Removes every child of the named cgroup, if it exists. The processes in them are dead or dying. */
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

/* Kills and removes the cgroups that a killed helper left under this name. */
static int clear_leftovers(struct session *s) {
  if (put(s->cg_top_v2, "cgroup.kill", "1") < 0) return fault_sys(AG_ST_CGROUP, "cgroup.kill (Linux 5.14)");
  for (int p = AG_POOL_LAMBDA; p <= AG_POOL_INSTALL; p++)
    /* The pool is removed, too: on some kernels no process can be cloned into a cgroup that was killed. */
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
  /* A zygote's CLONE_INTO_CGROUP needs write access to the common ancestor's cgroup.procs. Zygotes share no id, so
   * every user may write there. The cgroup above has mode 0700, so no other process reaches this one. */
  if (fchmodat(dir, "cgroup.procs", 0666, 0) < 0) return fault_sys(AG_ST_CGROUP, "chmod");
  pool->v2_fd = (int)syscall(SYS_open_tree, dir, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
  if (pool->v2_fd < 0) return fault_sys(AG_ST_CGROUP, "clone cgroup mount");
  for (int c = 0; c < CTL_COUNT; c++) {
    pool->v1_fd[c] = s->cg_parent_v1[c] < 0 ? -1 : make_dir(s->cg_parent_v1[c], s->cg_name);
    if (pool->v1_fd[c] < 0 && s->cg_parent_v1[c] >= 0) return fault_sys(AG_ST_CGROUP, controller_name[c]);
  }
  return 0;
}

/* Locks the cgroup of this name with a record lock, because children inherit no record lock. A child that is frozen
 * before it closes its descriptors would hold an inherited lock longer than the helper. A record lock ends when the
 * process closes any descriptor of the file, so the helper opens this file only here. Each helper removes its cgroup at
 * its end. A lock may thus be on a removed cgroup, and it counts only if the name still means the locked cgroup. */
static int take_name(struct session *s) {
  for (int tries = 0; tries < 200; tries++) {
    struct stat held, named;
    s->cg_top_v2 = make_dir(s->cg_parent_v2, s->cg_name);
    if (s->cg_top_v2 < 0 && errno != ENOENT) return fault_sys(AG_ST_CGROUP, "make cgroup");
    SCOPED int lock = s->cg_top_v2 < 0 ? -1 : openat(s->cg_top_v2, "cgroup.max.depth", O_RDWR | O_CLOEXEC);
    if (lock >= 0 && fcntl(lock, F_SETLK, &(struct flock){.l_type = F_WRLCK}) == 0 && fstat(s->cg_top_v2, &held) == 0 &&
        fchmod(s->cg_top_v2, 0700) == 0 && fstatat(s->cg_parent_v2, s->cg_name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
        held.st_ino == named.st_ino) {
      (void)take_fd(&lock); /* open until this process ends */
      return 0;
    }
    close_scoped(&s->cg_top_v2);
    usleep(10000); /* a helper that was just killed may still be dying */
  }
  return fault(AG_E_STATE, AG_ST_CGROUP, "a live helper has this name");
}

/* Takes the name and removes what a dead helper left. At most one live helper uses a name.
 * Safety: the name is one component with a fixed suffix. For callers other than root it begins with the caller's uid.
 */
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

/* Kills every process at once and removes every cgroup of this helper. */
void cgroup_stop(struct session *s) {
  if (s->cg_top_v2 <= 0) return;
  (void)clear_leftovers(s);
  for (int c = 0; c < CTL_COUNT; c++)
    if (s->cg_parent_v1[c] >= 0) unlinkat(s->cg_parent_v1[c], s->cg_name, AT_REMOVEDIR);
  unlinkat(s->cg_parent_v2, s->cg_name, AT_REMOVEDIR);
}
