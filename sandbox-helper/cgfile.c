/* SPDX-License-Identifier: Apache-2.0
 * Reads and writes a cgroup's files, and makes and opens its directory. */
#include "cgfile.h"

int put(int dir_fd, const char *path, const char *text) {
  SCOPED int fd = openat(dir_fd, path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
  return fd < 0 || write(fd, text, strlen(text)) < 0 ? -1 : 0;
}

int put_number(int dir_fd, const char *path, uint64_t number, const char *if_zero) {
  char text[32];
  snprintf(text, sizeof text, "%llu", (unsigned long long)number);
  return put(dir_fd, path, number ? text : if_zero);
}

ssize_t get(int dir_fd, const char *path, char *text, size_t size) {
  SCOPED int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  ssize_t n = -1, got = 0; /* the kernel gives a long list in parts */
  while (fd >= 0 && (n = read(fd, text + got, size - 1 - (size_t)got)) > 0) got += n;
  text[got] = 0;
  return n < 0 ? -1 : got;
}

/* What follows `word` where it stands as a word of its own, first in the text or behind `before`; or NULL. */
const char *after_word(const char *text, const char *word, char before) {
  size_t n = strlen(word);
  for (const char *at = text; (at = strstr(at, word)); at += n)
    if ((at == text || at[-1] == before) && strchr(" \t\n", at[n])) return at + n;
  return NULL;
}

/* The number after `key` in a flat keyed file, or the whole file's when key is NULL; false when there is none. */
bool read_number(int dir_fd, const char *path, const char *key, uint64_t *value) {
  char text[4096];
  if (get(dir_fd, path, text, sizeof text) < 0) return false;
  const char *at = key ? after_word(text, key, '\n') : text;
  if (at) *value = strtoull(at, NULL, 10);
  return at;
}

/* The same; 0 when there is none. */
uint64_t get_number(int dir_fd, const char *path, const char *key) {
  uint64_t value = 0;
  (void)read_number(dir_fd, path, key, &value);
  return value;
}

int open_dir(int dir_fd, const char *path) {
  return openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

int make_dir(int dir_fd, const char *name) {
  if (mkdirat(dir_fd, name, 0711) < 0 && errno != EEXIST) return -1;
  /* The helper's umask is 077; an own cgroup must be searchable, and only that, for a zygote. */
  int fd = fchmodat(dir_fd, name, 0711, 0) < 0 ? -1 : open_dir(dir_fd, name);
  int saved = errno;
  if (fd < 0) unlinkat(dir_fd, name, AT_REMOVEDIR); /* fails, as it should, when it is in use */
  errno = saved;
  return fd;
}
