/* SPDX-License-Identifier: Apache-2.0
 * Names: callers name components, and paths relative to a configured root. No caller names an absolute path. */
#include <linux/openat2.h>
#include <sys/random.h>

#include "base/base.h"

/* One path component: not empty, "." or "..", no slash, no control character. */
bool name_is_component(const char *name) {
  size_t n = strnlen(name, AG_NAME_MAX);
  if (n == 0 || n >= 200 || !strcmp(name, ".") || !strcmp(name, "..")) return false;
  for (size_t i = 0; i < n; i++)
    if (name[i] == '/' || (unsigned char)name[i] < 0x20 || name[i] == 0x7f) return false;
  return true;
}

/* Opens a path. Refuses symbolic and magic links in every component. `resolve` has further RESOLVE_* flags. */
int open_resolved(int dir_fd, const char *path, int flags, uint64_t resolve) {
  struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC | O_NOFOLLOW),
                         .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | resolve};
  return (int)syscall(SYS_openat2, dir_fd, path, &how, sizeof how);
}

/* Opens below dir_fd, as above. The path cannot leave dir_fd, neither by ".." nor by an absolute path. */
int open_beneath(int dir_fd, const char *path, int flags) {
  return open_resolved(dir_fd, path, flags, RESOLVE_BENEATH);
}

/* Records why a name could not be opened: it is missing, it leads elsewhere, or a system call failed. */
int fault_name(unsigned stage, const char *name) {
  if (errno == ENOENT || errno == ENOTDIR) return fault(AG_E_NOENT, stage, name);
  return errno == ELOOP || errno == EXDEV ? fault(AG_E_DENIED, stage, name) : fault_sys(stage, name);
}

bool is_unix_socket(int fd, int type) {
  int has = 0, domain = 0;
  socklen_t n = sizeof has;
  return getsockopt(fd, SOL_SOCKET, SO_TYPE, &has, &n) == 0 && has == type &&
         getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) == 0 && domain == AF_UNIX;
}

/* F_GETPIPE_SZ comes first. Only a pipe answers it, so no file on a hostile file system is touched. */
bool is_pipes_write_end(int fd) { return fcntl(fd, F_GETPIPE_SZ) >= 0 && (fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY; }

/* Root may use any directory. Another caller may use a directory that it owns and that no other user can write to. */
bool callers_own(struct session *s, int fd) {
  struct stat st;
  return s->caller_uid == 0 ||
         (fstat(fd, &st) == 0 && st.st_uid == s->caller_uid && !(st.st_mode & (S_IWGRP | S_IWOTH)));
}

/* Opens a directory that the caller named below configured root number `root`. callers_own() keeps another user from
 * replacing what is mounted. */
int open_owned_dir(struct session *s, uint64_t root, const char *path) {
  if (root >= s->config.nroots) return fault(AG_E_DENIED, AG_ST_ROOTS, "root index");
  SCOPED int root_fd = open_resolved(AT_FDCWD, s->config.root[root], O_PATH | O_DIRECTORY, 0);
  if (root_fd < 0) return fault_sys(AG_ST_ROOTS, "configured root");
  SCOPED int fd = open_beneath(root_fd, path[0] ? path : ".", O_PATH | O_DIRECTORY);
  if (fd < 0) return fault_name(AG_ST_ROOTS, path);
  return callers_own(s, fd) ? take_fd(&fd) : fault(AG_E_DENIED, AG_ST_ROOTS, path);
}

/* 128 random bits, so that no sandbox can guess another slot's directory or cgroup. */
int random_name(char name[CG_NAME]) {
  unsigned long long bits[2];
  if (getrandom(bits, sizeof bits, 0) != (ssize_t)sizeof bits) return fault_sys(AG_ST_SLOT, "getrandom");
  snprintf(name, CG_NAME, "cg-%016llx%016llx", bits[0], bits[1]);
  return 0;
}
