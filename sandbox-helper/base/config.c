/* SPDX-License-Identifier: Apache-2.0
 * helper.conf: lines `key value`, `#` comments. The file must belong to root, and no other user may write to it. */

#include "base/base.h"

#define CONFIG_MAX_BYTES 65536

static int bad(unsigned line, const char *what) {
  char detail[32];
  snprintf(detail, sizeof detail, "line %u: %s", line, what);
  return fault(AG_E_BADREQ, AG_ST_CONFIG, detail);
}

static int parse_id(const char *value, unsigned *out) {
  char *end;
  errno = 0;
  unsigned long n = strtoul(value, &end, 10);
  /* 0 is root, and -1 means "unchanged" to the kernel. */
  if (errno || *end || end == value || value[0] == '-' || n == 0 || n >= 0xfffffffeul) return -1;
  *out = (unsigned)n;
  return 0;
}

/* The first id of a range, and the number of ids. */
static int parse_ids(char *value, struct config *c) {
  char *count = value + strcspn(value, " \t");
  if (*count) *count++ = 0;
  if (parse_id(value, &c->first_uid) < 0 || parse_id(count + strspn(count, " \t"), &c->uids) < 0) return -1;
  return c->uids < AG_UIDS || c->uids > 0xfffffffeu - c->first_uid ? -1 : 0;
}

static int copy_path(const char *value, char out[AG_NAME_MAX], bool absolute) {
  size_t n = strlen(value);
  if (n == 0 || n >= AG_NAME_MAX || (value[0] == '/') != absolute || strstr(value, "..")) return -1;
  memcpy(out, value, n + 1);
  while (n > 1 && out[n - 1] == '/') out[--n] = 0;
  return 0;
}

static int parse_line(char *line, unsigned number, struct config *c) {
  char *key = line + strspn(line, " \t");
  if (*key == 0 || *key == '#') return 0;
  char *value = key + strcspn(key, " \t");
  if (*value) *value++ = 0;
  value += strspn(value, " \t");
  for (size_t n = strlen(value); n > 0 && strchr(" \t\r", value[n - 1]); n--) value[n - 1] = 0;

  int ok = !strcmp(key, "root")           ? c->nroots < MAX_ROOTS ? copy_path(value, c->root[c->nroots++], true) : -1
           : !strcmp(key, "sandbox_uids") ? parse_ids(value, c)
           : !strcmp(key, "caller_gid")   ? parse_id(value, &c->caller_gid)
           : !strcmp(key, "guest")        ? copy_path(value, c->guest, true)
           : !strcmp(key, "cgroup_root")  ? copy_path(value, c->cgroup_root, false)
                                          : 1;
  return ok == 0 ? 0 : bad(number, ok < 0 ? key : "unknown key");
}

/* Parses NUL-terminated text in place. Pure except for fault(): the fuzzer calls it. */
int config_parse(char *text, struct config *config) {
  memset(config, 0, sizeof *config);
  unsigned number = 0;
  for (char *line = text; line;) {
    char *next = strchr(line, '\n');
    if (next) *next++ = 0;
    if (parse_line(line, ++number, config) < 0) return -1;
    line = next;
  }
  if (config->nroots == 0) return fault(AG_E_BADREQ, AG_ST_CONFIG, "no root");
  if (config->uids == 0) return fault(AG_E_BADREQ, AG_ST_CONFIG, "no sandbox_uids");
  if (config->guest[0] == 0) return fault(AG_E_BADREQ, AG_ST_CONFIG, "no guest");
  return 0;
}

static bool only_root_writes(const struct stat *st) { return st->st_uid == 0 && !(st->st_mode & (S_IWGRP | S_IWOTH)); }

/* Only root may write to the file. For setuid callers, only root may write to the file's directory, so that nobody
 * replaces the file. */
int config_load(const char *path, bool trusted_caller, struct config *config) {
  char text[CONFIG_MAX_BYTES + 1], dir[AG_NAME_MAX];
  struct stat st;
  SCOPED int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return fault_sys(AG_ST_CONFIG, "open helper.conf");
  if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || !only_root_writes(&st))
    return fault(AG_E_DENIED, AG_ST_CONFIG, "helper.conf is not root's alone");
  ssize_t n = read(fd, text, sizeof text);
  if (n < 0) return fault_sys(AG_ST_CONFIG, "read helper.conf");
  if (n > CONFIG_MAX_BYTES || memchr(text, 0, (size_t)n)) return fault(AG_E_BADREQ, AG_ST_CONFIG, "helper.conf size");
  text[n] = 0;
  if (!trusted_caller) {
    snprintf(dir, sizeof dir, "%.*s", (int)(strrchr(path, '/') - path), path); /* the path is compiled in */
    if (lstat(dir, &st) < 0 || !S_ISDIR(st.st_mode) || !only_root_writes(&st))
      return fault(AG_E_DENIED, AG_ST_CONFIG, "directory is not root's alone");
  }
  return config_parse(text, config);
}
