/* SPDX-License-Identifier: Apache-2.0
 * Faults, replies and the counts that leak tests compare. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "helper.h"

static struct fault current;

int fault(int code, unsigned stage, const char *detail) {
  current.code = code;
  current.sys_errno = 0;
  current.stage = stage;
  snprintf(current.detail, sizeof current.detail, "%s", detail);
  return -1;
}

int fault_sys(unsigned stage, const char *detail) {
  int saved = errno;
  fault(AG_E_SYS, stage, detail);
  current.sys_errno = saved;
  return -1;
}

const struct fault *last_fault(void) { return &current; }

/* Ends the helper with one exit code per stage, as Chromium's suid sandbox does. */
void die(unsigned stage, const char *detail) {
  dprintf(2, "sandbox-helper: stage %u: %s%s%s\n", stage, detail, errno ? ": " : "", errno ? strerror(errno) : "");
  _exit((int)stage);
}

static int send_completion(const struct ag_completion *c) {
  ssize_t n;
  do n = write(AG_EVENTS_FD, c, sizeof *c);
  while (n < 0 && errno == EINTR);
  /* 128 bytes are below PIPE_BUF, so a pipe takes all of them or none. */
  return n == (ssize_t)sizeof *c ? 0 : -1;
}

/* Answers one request: result 0 is AG_OK, anything else is the recorded fault. */
int reply(uint64_t seq, uint32_t slot, int result, const uint64_t value[8]) {
  struct ag_completion c = {.magic = AG_MAGIC, .version = AG_VERSION, .kind = AG_REPLY, .seq = seq, .slot = slot};
  if (result == 0) {
    if (value) memcpy(c.value, value, sizeof c.value);
  } else {
    c.code = current.code;
    c.sys_errno = current.sys_errno;
    c.stage = current.stage;
    memcpy(c.detail, current.detail, sizeof c.detail);
  }
  return send_completion(&c);
}

int event_exit(uint32_t slot, uint64_t status, uint64_t oom_kills, uint64_t pid) {
  struct ag_completion c = {.magic = AG_MAGIC, .version = AG_VERSION, .kind = AG_EVENT_EXIT, .slot = slot};
  c.value[0] = status;
  c.value[1] = oom_kills;
  c.value[2] = pid;
  return send_completion(&c);
}

uint64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

int count_open_fds(struct session *s) {
  char path[64];
  snprintf(path, sizeof path, "%d/fd", (int)getpid());
  int fd = openat(s->proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *d = fd < 0 ? NULL : fdopendir(fd);
  if (!d) {
    if (fd >= 0) close(fd);
    return -1;
  }
  int n = -3; /* ".", ".." and the directory's own descriptor */
  while (readdir(d)) n++;
  closedir(d);
  return n;
}

int count_mounts(struct session *s) {
  char path[64], block[4096];
  snprintf(path, sizeof path, "%d/mountinfo", (int)getpid());
  int fd = openat(s->proc_fd, path, O_RDONLY | O_CLOEXEC), n = 0;
  if (fd < 0) return -1;
  for (ssize_t got; (got = read(fd, block, sizeof block)) > 0;)
    for (ssize_t i = 0; i < got; i++) n += block[i] == '\n';
  close(fd);
  return n;
}
