/* SPDX-License-Identifier: Apache-2.0
 * The helper's mount namespace and the slots' roots in it.
 *
 *   /            tmpfs, 0700 root: a zygote that breaks out of its chroot can search nothing from here
 *   /base        the template of every root: base image, usr, dev, runtime, packages; all read-only
 *   /code        the worker's code directory        /packages  the packages directory
 *   /slots/NAME  one recursive clone of /base each, with a scratch tmpfs on host/ and tmp/
 *
 * The namespace is private and its root is pivoted into, so no mount reaches the host or outlives us. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "helper.h"

/* glibc 2.36 declares these for some headers and not for others; the numbers are the kernel's. */
static int sys_open_tree(int fd, const char *path, unsigned flags) {
  return (int)syscall(SYS_open_tree, fd, path, flags);
}

static int attach(int tree_fd, int dir_fd) {
  return (int)syscall(SYS_move_mount, tree_fd, "", dir_fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

static int set_flags(int tree_fd, uint64_t attributes, bool recursive) {
  struct mount_attr attr = {.attr_set = attributes};
  unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
  return (int)syscall(SYS_mount_setattr, tree_fd, "", flags, &attr, sizeof attr);
}

#define CLONE_TREE (OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH)
#define SAFE (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)

/* A new tmpfs as a detached mount; options come as key, value pairs ending with NULL. */
static int new_tmpfs(const char *const options[], uint64_t attributes) {
  int fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC), mnt = -1;
  if (fs < 0) return -1;
  bool ok = true;
  for (int i = 0; ok && options[i]; i += 2)
    ok = syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, options[i], options[i + 1], 0) == 0;
  if (ok && syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
    mnt = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, (unsigned)attributes);
  int saved = errno;
  close(fs);
  errno = saved;
  return mnt;
}

/* Clones the mount at src_fd and attaches the clone on directory `where` below dir_fd. */
static int bind_on(int src_fd, int dir_fd, const char *where, uint64_t attributes) {
  int tree = sys_open_tree(src_fd, "", CLONE_TREE), target = -1, ok = -1;
  if (tree < 0) return fault_sys(AG_ST_MOUNTNS, where);
  if ((target = open_beneath(dir_fd, where, O_PATH | O_DIRECTORY)) < 0)
    fault_sys(AG_ST_MOUNTNS, where);
  else if (set_flags(tree, attributes, false) < 0 || attach(tree, target) < 0)
    fault_sys(AG_ST_MOUNTNS, where);
  else
    ok = 0;
  if (target >= 0) close(target);
  close(tree);
  return ok;
}

static int make_dev(int base_mount) {
  static const struct {
    const char *name;
    unsigned minor;
  } nodes[] = {{"null", 3}, {"zero", 5}, {"full", 7}, {"random", 8}, {"urandom", 9}};
  const char *const options[] = {"mode", "0755", "size", "64k", NULL};
  int dev = new_tmpfs(options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC), ok = -1, target = -1;
  if (dev < 0) return fault_sys(AG_ST_MOUNTNS, "dev tmpfs");
  for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++)
    if (mknodat(dev, nodes[i].name, S_IFCHR, makedev(1, nodes[i].minor)) < 0 ||
        fchmodat(dev, nodes[i].name, 0666, 0) < 0) {
      fault_sys(AG_ST_MOUNTNS, nodes[i].name);
      goto out;
    }
  /* POSIX semaphores and shared memory live in /dev/shm: point it into the bounded scratch. */
  if (symlinkat("/host/shm", dev, "shm") < 0 || set_flags(dev, MOUNT_ATTR_RDONLY, false) < 0 ||
      (target = open_beneath(base_mount, "dev", O_PATH | O_DIRECTORY)) < 0 || attach(dev, target) < 0)
    fault_sys(AG_ST_MOUNTNS, "dev");
  else
    ok = 0;
out:
  if (target >= 0) close(target);
  close(dev);
  return ok;
}

static int sub_dir(int root_fd, const char *name) {
  if (mkdirat(root_fd, name, 0700) < 0) return fault_sys(AG_ST_MOUNTNS, name);
  int fd = open_beneath(root_fd, name, O_PATH | O_DIRECTORY);
  return fd < 0 ? fault_sys(AG_ST_MOUNTNS, name) : fd;
}

/* Attaches the detached tree on a new directory /name; returns a descriptor of the mount's root. */
static int place(int root_fd, const char *name, int tree, uint64_t attributes) {
  int dir = sub_dir(root_fd, name);
  if (dir < 0) return -1;
  int moved = set_flags(tree, attributes, false) < 0 ? -1 : attach(tree, dir);
  int saved = errno;
  close(dir);
  errno = saved;
  if (moved < 0) return fault_sys(AG_ST_MOUNTNS, name);
  int fd = open_beneath(root_fd, name, O_RDONLY | O_DIRECTORY);
  return fd < 0 ? fault_sys(AG_ST_MOUNTNS, name) : fd;
}

static int pivot_into(int new_root) {
  /* Where the new root is mounted is of no matter: it is "/" a moment later. /dev exists everywhere. */
  int spot = open("/dev", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (spot < 0 || attach(new_root, spot) < 0) return fault_sys(AG_ST_MOUNTNS, "attach new root");
  close(spot);
  if (fchdir(new_root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0)
    return fault_sys(AG_ST_MOUNTNS, "pivot_root");
  return chdir("/") < 0 ? fault_sys(AG_ST_MOUNTNS, "chdir /") : 0;
}

/* Fills the base template: what all roots share. */
static int fill_base(struct session *s, int usr_tree, int guest_tree) {
  if (usr_tree >= 0) {
    int usr = open_beneath(s->base_fd, "usr", O_PATH | O_DIRECTORY);
    if (usr < 0 || set_flags(usr_tree, SAFE | MOUNT_ATTR_RDONLY, true) < 0 || attach(usr_tree, usr) < 0)
      return fault_sys(AG_ST_MOUNTNS, "usr");
    close(usr);
  }
  int runtime = open_beneath(s->base_fd, "runtime", O_PATH | O_DIRECTORY);
  if (runtime < 0 || set_flags(guest_tree, SAFE | MOUNT_ATTR_RDONLY, false) < 0 || attach(guest_tree, runtime) < 0)
    return fault_sys(AG_ST_MOUNTNS, "runtime");
  close(runtime);
  if (bind_on(s->packages_fd, s->base_fd, "packages", SAFE | MOUNT_ATTR_RDONLY) < 0) return -1;
  return make_dev(s->base_fd);
}

/* Comes before any directory is opened: a mount of the old namespace could not be cloned from the new. */
int rootfs_unshare(void) {
  if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
    return fault_sys(AG_ST_MOUNTNS, "unshare");
  return 0;
}

/* Safety: runs once, on descriptors that open_owned_dir() vouched for; every source is cloned before
 * the pivot and no path of the host can be named after it. */
int rootfs_enter(struct session *s, int worker_fd, int packages_fd, int base_fd, bool host_usr) {
  int usr_tree = -1, ok = -1;
  const char *const root_options[] = {"mode", "0700", "size", "4m", NULL};
  int code = open_beneath(worker_fd, "code", O_PATH | O_DIRECTORY);
  if (code < 0) return fault_sys(AG_ST_MOUNTNS, "code");
  int code_tree = sys_open_tree(code, "", CLONE_TREE), packages_tree = sys_open_tree(packages_fd, "", CLONE_TREE);
  int base_tree = sys_open_tree(base_fd, "", CLONE_TREE);
  int guest_tree = sys_open_tree(AT_FDCWD, s->config.guest, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  if (host_usr) usr_tree = sys_open_tree(AT_FDCWD, "/usr", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
  int root = new_tmpfs(root_options, SAFE | MOUNT_ATTR_NOEXEC);
  if (code_tree < 0 || packages_tree < 0 || base_tree < 0 || guest_tree < 0 || root < 0 || (host_usr && usr_tree < 0))
    fault_sys(AG_ST_MOUNTNS, "clone sources");
  else if (pivot_into(root) == 0 && (s->code_fd = place(root, "code", code_tree, SAFE)) >= 0 &&
           (s->packages_fd = place(root, "packages", packages_tree, SAFE)) >= 0 &&
           (s->base_fd = place(root, "base", base_tree, SAFE | MOUNT_ATTR_RDONLY)) >= 0 &&
           (s->slots_fd = sub_dir(root, "slots")) >= 0 && fill_base(s, usr_tree, guest_tree) == 0)
    ok = fchdir(s->slots_fd) < 0 ? fault_sys(AG_ST_MOUNTNS, "chdir slots") : 0;
  const int done[] = {code, code_tree, packages_tree, base_tree, guest_tree, usr_tree, root};
  for (size_t i = 0; i < sizeof done / sizeof *done; i++)
    if (done[i] >= 0) close(done[i]);
  return ok;
}

/* A descriptor of the slot's root. Passing it to a zygote is safe: above it are 0700 root directories. */
int rootfs_open(struct session *s, const char *name) {
  int fd = open_beneath(s->slots_fd, name, O_PATH | O_DIRECTORY);
  return fd < 0 ? fault_sys(AG_ST_SLOT, "open root") : fd;
}

static int make_scratch(struct session *s, int root_fd, uint64_t scratch_bytes) {
  char size[32], uid[16], gid[16], inodes[32];
  snprintf(size, sizeof size, "%llu", (unsigned long long)scratch_bytes);
  snprintf(uid, sizeof uid, "%u", s->config.sandbox_uid);
  snprintf(gid, sizeof gid, "%u", s->config.sandbox_gid);
  /* One inode per 4 KiB of space, and a few: empty files must not fill the kernel's memory either. */
  snprintf(inodes, sizeof inodes, "%llu", (unsigned long long)(scratch_bytes / 4096 + 64));
  const char *const options[] = {"mode", "0755", "size", size, "uid", uid, "gid", gid, "nr_inodes", inodes, NULL};
  static const char *const dirs[] = {"tmp", "shm", "files"};
  int fs = new_tmpfs(options, SAFE), target = -1, tmp = -1, ok = -1;
  if (fs < 0) return fault_sys(AG_ST_SLOT, "scratch tmpfs");
  for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
    if (mkdirat(fs, dirs[i], 0700) < 0 || fchownat(fs, dirs[i], s->config.sandbox_uid, s->config.sandbox_gid, 0) < 0) {
      fault_sys(AG_ST_SLOT, "scratch");
      goto out;
    }
  if ((target = open_beneath(root_fd, "host", O_PATH | O_DIRECTORY)) < 0 || attach(fs, target) < 0)
    fault_sys(AG_ST_SLOT, "attach scratch");
  else if ((tmp = open_beneath(fs, "tmp", O_PATH | O_DIRECTORY)) < 0)
    fault_sys(AG_ST_SLOT, "scratch tmp");
  else
    ok = bind_on(tmp, root_fd, "tmp", SAFE);
out:
  if (tmp >= 0) close(tmp);
  if (target >= 0) close(target);
  close(fs);
  return ok;
}

/* Safety: `name` is ours and random; the only sources are the read-only template and a new tmpfs. */
int rootfs_make(struct session *s, const char *name, uint64_t scratch_bytes) {
  if (mkdirat(s->slots_fd, name, 0700) < 0) return fault_sys(AG_ST_SLOT, "mkdir slot");
  int dir = open_beneath(s->slots_fd, name, O_PATH | O_DIRECTORY), root = -1, ok = -1;
  int tree = sys_open_tree(s->base_fd, "", CLONE_TREE | AT_RECURSIVE);
  if (dir < 0 || tree < 0 || attach(tree, dir) < 0)
    fault_sys(AG_ST_SLOT, "clone base");
  else if ((root = rootfs_open(s, name)) >= 0)
    ok = make_scratch(s, root, scratch_bytes);
  if (root >= 0) close(root);
  if (tree >= 0) close(tree);
  if (dir >= 0) close(dir);
  if (ok < 0) rootfs_remove(s, name);
  return ok;
}

/* Binds directory `what` of an area (code, packages) on `where` in the slot. A process already
 * chrooted there sees it at once, because all share this mount namespace.
 * Safety: one component, opened without following links; read-only unless it is a staging directory. */
int rootfs_bind(struct session *s, const char *slot_name, int area_fd, const char *what, const char *where,
                bool writable) {
  if (!name_is_component(what)) return fault(AG_E_BADREQ, AG_ST_SLOT, "name");
  int src = open_beneath(area_fd, what, O_PATH | O_DIRECTORY), root = -1, ok = -1;
  if (src < 0) {
    int code = errno == ENOENT ? AG_E_NOENT : errno == ELOOP || errno == ENOTDIR || errno == EXDEV ? AG_E_DENIED : 0;
    return code ? fault(code, AG_ST_SLOT, what) : fault_sys(AG_ST_SLOT, what);
  }
  if ((root = rootfs_open(s, slot_name)) >= 0) {
    ok = bind_on(src, root, where, SAFE | (writable ? 0 : MOUNT_ATTR_RDONLY));
    close(root);
  }
  close(src);
  return ok;
}

/* The helper's working directory is /slots, so the name alone is the path. */
void rootfs_remove(struct session *s, const char *name) {
  /* EINVAL: nothing was mounted there yet. */
  while (umount2(name, MNT_DETACH | UMOUNT_NOFOLLOW) == 0) continue;
  unlinkat(s->slots_fd, name, AT_REMOVEDIR);
}
