/* SPDX-License-Identifier: Apache-2.0
 * The helper's mount namespace and the slots' roots in it.
 *
 *   /            tmpfs, 0700 root: a zygote that breaks out of its chroot can open nothing from here
 *   /base        the template of every root: base image, usr, dev, runtime, store; all read-only
 *   /code        the worker's code directory, with views of packages
 *   /packages    the packages directory; its .store is what sandboxes have on /runtime/store
 *   /slots/NAME  one recursive clone of /base each, with a scratch tmpfs on host/ and tmp/
 *
 * The namespace is private and the helper pivots into its root, so no mount reaches the host or outlives the helper. */
#include <linux/mount.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>

#include "mech/mech.h"

/* The newer mount calls are made by number, because glibc before 2.36 does not declare them. */
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

/* Makes a tmpfs as a detached mount. The options are mount(8)'s. */
static int new_tmpfs(char *options, uint64_t attributes) {
  SCOPED int fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
  if (fs < 0) return -1;
  for (char *value; (value = strsep(&options, ","));) {
    const char *key = strsep(&value, "=");
    if (syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, key, value, 0) < 0) return -1;
  }
  if (syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0) return -1;
  return (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, (unsigned)attributes);
}

/* Attaches the detached tree on directory `where` below dir_fd. */
static int attach_on(int tree, int dir_fd, const char *where) {
  SCOPED int target = open_beneath(dir_fd, where, O_PATH | O_DIRECTORY);
  return target < 0 || attach(tree, target) < 0 ? fault_sys(AG_ST_MOUNTNS, where) : 0;
}

/* Clones the mount at src_fd and attaches the clone on directory `where` below dir_fd. */
static int bind_on(int src_fd, int dir_fd, const char *where, uint64_t attributes) {
  SCOPED int tree = sys_open_tree(src_fd, "", CLONE_TREE);
  if (tree < 0 || set_flags(tree, attributes, false) < 0) return fault_sys(AG_ST_MOUNTNS, where);
  return attach_on(tree, dir_fd, where);
}

static int make_dev(int base_mount) {
  /* Devices of major number 1, by their minor numbers. */
  static const char *const nodes[10] = {[3] = "null", [5] = "zero", [7] = "full", [8] = "random", [9] = "urandom"};
  /* Links of /dev. In the list, each link follows its target. /dev/shm holds POSIX semaphores and shared memory, and
   * leads into the bounded scratch. The usual links of the standard streams need a procfs. Here the links for output
   * lead into the scratch, too, and the guest copies this output to the log. */
  static const char *const links[] = {"/host/shm", "shm",           "null",      "stdin",    "/host/.stdout",
                                      "stdout",    "/host/.stderr", "stderr",    "../stdin", "fd/0",
                                      "../stdout", "fd/1",          "../stderr", "fd/2"};
  SCOPED int dev = new_tmpfs((char[]){"mode=0755,size=64k"}, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
  /* No process may list /dev/fd. Without a procfs the list is incomplete, and a program would close only the listed
   * descriptors. */
  bool made = dev >= 0 && mkdirat(dev, "fd", 0) == 0 && fchmodat(dev, "fd", 0711, 0) == 0;
  for (unsigned minor = 0; made && minor < 10; minor++)
    if (nodes[minor])
      made = mknodat(dev, nodes[minor], S_IFCHR, makedev(1, minor)) == 0 && fchmodat(dev, nodes[minor], 0666, 0) == 0;
  for (unsigned i = 0; made && i < sizeof links / sizeof *links; i += 2)
    made = symlinkat(links[i], dev, links[i + 1]) == 0;
  return made && set_flags(dev, MOUNT_ATTR_RDONLY, false) == 0 ? attach_on(dev, base_mount, "dev")
                                                               : fault_sys(AG_ST_MOUNTNS, "dev");
}

static int sub_dir(int root_fd, const char *name) {
  if (mkdirat(root_fd, name, 0700) < 0) return fault_sys(AG_ST_MOUNTNS, name);
  int fd = open_beneath(root_fd, name, O_PATH | O_DIRECTORY);
  return fd < 0 ? fault_sys(AG_ST_MOUNTNS, name) : fd;
}

/* Attaches the detached tree on a new directory /name; returns a descriptor of the mount's root. */
static int place(int root_fd, const char *name, int tree, uint64_t attributes) {
  SCOPED int dir = sub_dir(root_fd, name);
  if (dir < 0) return -1;
  if (set_flags(tree, attributes, false) < 0 || attach(tree, dir) < 0) return fault_sys(AG_ST_MOUNTNS, name);
  int fd = open_beneath(root_fd, name, O_RDONLY | O_DIRECTORY);
  return fd < 0 ? fault_sys(AG_ST_MOUNTNS, name) : fd;
}

static int pivot_into(int new_root) {
  /* Any directory can be the mount point, because the new root becomes "/" in the next step. /dev exists everywhere. */
  SCOPED int spot = open("/dev", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (spot < 0 || attach(new_root, spot) < 0) return fault_sys(AG_ST_MOUNTNS, "attach new root");
  if (fchdir(new_root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0)
    return fault_sys(AG_ST_MOUNTNS, "pivot_root");
  return chdir("/") < 0 ? fault_sys(AG_ST_MOUNTNS, "chdir /") : 0;
}

/* Fills the template that all roots share. */
static int fill_base(struct session *s, int usr_tree, int guest_tree) {
  if (usr_tree >= 0 &&
      (set_flags(usr_tree, SAFE | MOUNT_ATTR_RDONLY, true) < 0 || attach_on(usr_tree, s->base_fd, "usr") < 0))
    return fault_sys(AG_ST_MOUNTNS, "usr");
  if (set_flags(guest_tree, SAFE | MOUNT_ATTR_RDONLY, false) < 0) return fault_sys(AG_ST_MOUNTNS, "runtime");
  if (attach_on(guest_tree, s->base_fd, "runtime") < 0) return -1;
  SCOPED int store = open_beneath(s->packages_fd, ".store", O_PATH | O_DIRECTORY);
  if (store < 0) return fault_name(AG_ST_MOUNTNS, ".store");
  if (!callers_own(s, store)) return fault(AG_E_DENIED, AG_ST_MOUNTNS, ".store");
  if (bind_on(store, s->base_fd, "runtime/store", SAFE | MOUNT_ATTR_RDONLY) < 0) return -1;
  return make_dev(s->base_fd);
}

/* Runs before any directory is opened: a mount of the old namespace cannot be cloned in the new one. */
int rootfs_unshare(void) {
  if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
    return fault_sys(AG_ST_MOUNTNS, "unshare");
  return 0;
}

/* Safety: runs once, on descriptors that open_owned_dir() has checked. It clones every source before the pivot. After
 * the pivot no path leads to a file of the host. */
int rootfs_enter(struct session *s, int worker_fd, int packages_fd, int base_fd, bool host_usr) {
  SCOPED int code = open_beneath(worker_fd, "code", O_PATH | O_DIRECTORY);
  if (code < 0) return fault_name(AG_ST_MOUNTNS, "code");
  SCOPED int code_tree = sys_open_tree(code, "", CLONE_TREE);
  SCOPED int packages_tree = sys_open_tree(packages_fd, "", CLONE_TREE);
  SCOPED int base_tree = sys_open_tree(base_fd, "", CLONE_TREE);
  SCOPED int guest_tree = sys_open_tree(AT_FDCWD, s->config.guest, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  SCOPED int usr_tree =
      host_usr ? sys_open_tree(AT_FDCWD, "/usr", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE) : -1;
  SCOPED int root = new_tmpfs((char[]){"mode=0700,size=4m"}, SAFE | MOUNT_ATTR_NOEXEC);
  if (code_tree < 0 || packages_tree < 0 || base_tree < 0 || guest_tree < 0 || root < 0 || (host_usr && usr_tree < 0))
    return fault_sys(AG_ST_MOUNTNS, "clone sources");
  if (pivot_into(root) < 0 || (s->code_fd = place(root, "code", code_tree, SAFE)) < 0 ||
      (s->packages_fd = place(root, "packages", packages_tree, SAFE)) < 0 ||
      (s->base_fd = place(root, "base", base_tree, SAFE | MOUNT_ATTR_RDONLY)) < 0 ||
      (s->slots_fd = sub_dir(root, "slots")) < 0 || fill_base(s, usr_tree, guest_tree) < 0)
    return -1;
  return fchdir(s->slots_fd) < 0 ? fault_sys(AG_ST_MOUNTNS, "chdir slots") : 0;
}

/* Opens the slot's root. Safety: a zygote may have this descriptor. The directories above the root belong to root and
 * have mode 0700. */
int rootfs_open(struct session *s, const char *name) {
  int fd = open_beneath(s->slots_fd, name, O_PATH | O_DIRECTORY);
  return fd < 0 ? fault_sys(AG_ST_SLOT, "open root") : fd;
}

static const char *const scratch_dir[] = {"", "tmp", "shm", "files"};

static int make_scratch(int root_fd, uint64_t scratch_bytes) {
  char options[128];
  /* One inode per 4 KiB of space, and 64 more: empty files must not fill the kernel's memory. */
  snprintf(options, sizeof options, "mode=0755,size=%llu,nr_inodes=%llu", (unsigned long long)scratch_bytes,
           (unsigned long long)scratch_bytes / 4096 + 64);
  SCOPED int fs = new_tmpfs(options, SAFE);
  if (fs < 0) return fault_sys(AG_ST_SLOT, "scratch tmpfs");
  for (size_t i = 1; i < sizeof scratch_dir / sizeof *scratch_dir; i++)
    if (mkdirat(fs, scratch_dir[i], 0700) < 0) return fault_sys(AG_ST_SLOT, "scratch");
  if (attach_on(fs, root_fd, "host") < 0) return -1;
  SCOPED int tmp = open_beneath(fs, "tmp", O_PATH | O_DIRECTORY);
  return tmp < 0 ? fault_sys(AG_ST_SLOT, "scratch tmp") : bind_on(tmp, root_fd, "tmp", SAFE);
}

/* Safety: the helper chose the random `name`. The only sources are the read-only template and a new tmpfs. */
static int fill_root(struct session *s, const char *name, uint64_t scratch_bytes) {
  SCOPED int tree = sys_open_tree(s->base_fd, "", CLONE_TREE | AT_RECURSIVE);
  if (tree < 0) return fault_sys(AG_ST_SLOT, "clone base");
  if (attach_on(tree, s->slots_fd, name) < 0) return -1;
  SCOPED int root = rootfs_open(s, name);
  return root < 0 ? -1 : make_scratch(root, scratch_bytes);
}

/* Gives a slot's scratch to its user, before any process runs there. */
int rootfs_chown(int root_fd, uid_t uid) {
  SCOPED int fd = open_beneath(root_fd, "host", O_PATH | O_DIRECTORY);
  for (size_t i = 0; i < sizeof scratch_dir / sizeof *scratch_dir; i++)
    if (fchownat(fd, scratch_dir[i], uid, uid, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0)
      return fault_sys(AG_ST_SLOT, "scratch");
  return 0;
}

int rootfs_make(struct session *s, const char *name, uint64_t scratch_bytes) {
  if (mkdirat(s->slots_fd, name, 0700) < 0) return fault_sys(AG_ST_SLOT, "mkdir slot");
  if (fill_root(s, name, scratch_bytes) == 0) return 0;
  (void)rootfs_remove(s, name);
  return -1;
}

/* Binds directory `what` of an area (code, packages) on `where` in the slot. A process whose root is the slot sees the
 * mount at once, because all sandboxes share this mount namespace. Safety: `what` is one component and is opened
 * without following links. The mount is read-only, except for a staging directory. */
int rootfs_bind(struct session *s, const char *slot_name, int area_fd, const char *what, const char *where,
                bool writable) {
  if (!name_is_component(what)) return fault(AG_E_BADREQ, AG_ST_SLOT, "name");
  SCOPED int src = open_beneath(area_fd, what, O_PATH | O_DIRECTORY);
  if (src < 0) return fault_name(AG_ST_SLOT, what);
  SCOPED int root = rootfs_open(s, slot_name);
  return root < 0 ? -1 : bind_on(src, root, where, SAFE | (writable ? 0 : MOUNT_ATTR_RDONLY));
}

/* Binds the first n names: the function's code, and the view of the packages that it asked for. Skips empty names.
 * Safety: both are in the caller's own code area. Links in a view are resolved inside the sandbox, whose root holds
 * only what the sandbox may see. */
int rootfs_bind_code(struct session *s, const char *slot_name, const char names[][AG_NAME_MAX], unsigned n) {
  static const char *const where[] = {"handler", "packages"};
  for (unsigned i = 0; i < n; i++)
    if (names[i][0] && rootfs_bind(s, slot_name, s->code_fd, names[i], where[i], false) < 0) return -1;
  return 0;
}

/* Removes the slot's root. The working directory is /slots, so the name is the path. Fails while a mount is left. */
int rootfs_remove(struct session *s, const char *name) {
  /* EINVAL: no mount is left there. */
  while (umount2(name, MNT_DETACH | UMOUNT_NOFOLLOW) == 0) continue;
  return unlinkat(s->slots_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -1 : 0;
}
