/* SPDX-License-Identifier: Apache-2.0
 * Reads and writes files of cgroups and of /proc, and makes and opens a cgroup's directory. */
#include "base/base.h"

/* The name of a process's file below /proc. Valid until the next call. */
const char *proc_file(pid_t pid, const char *name) {
  static char path[64];
  snprintf(path, sizeof path, "%d/%s", (int)pid, name);
  return path;
}

int put(int dir_fd, const char *path, const char *text) {
  SCOPED int fd = openat(dir_fd, path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
  return fd < 0 || write(fd, text, strlen(text)) < 0 ? -1 : 0;
}

ssize_t get(int dir_fd, const char *path, char *text, size_t size) {
  SCOPED int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  ssize_t n = -1, got = 0; /* the kernel returns a long list in parts */
  while (fd >= 0 && (n = read(fd, text + got, size - 1 - (size_t)got)) > 0) got += n;
  text[got] = 0;
  return n < 0 ? -1 : got;
}

/* Returns the text after `word`, or NULL. Finds `word` only as a whole word at the beginning of the text or after
 * `before`. */
const char *after_word(const char *text, const char *word, char before) {
  size_t n = strlen(word);
  for (const char *at = text; (at = strstr(at, word)); at += n)
    if ((at == text || at[-1] == before) && strchr(" \t\n", at[n])) return at + n;
  return NULL;
}

int open_dir(int dir_fd, const char *path) {
  return openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

int make_dir(int dir_fd, const char *name) {
  if (mkdirat(dir_fd, name, 0711) < 0 && errno != EEXIST) return -1;
  /* chmod, because the helper's umask is 077. A zygote may search a cgroup's directory, and no more. */
  int fd = fchmodat(dir_fd, name, 0711, 0) < 0 ? -1 : open_dir(dir_fd, name);
  int saved = errno;
  if (fd < 0) unlinkat(dir_fd, name, AT_REMOVEDIR); /* fails if the cgroup is in use */
  errno = saved;
  return fd;
}
