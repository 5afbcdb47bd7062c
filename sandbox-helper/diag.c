/* SPDX-License-Identifier: Apache-2.0
 * Faults, replies and events. */
#include <time.h>

#include "helper.h"

static struct fault current;
bool events_broken;

void close_scoped(int *fd) {
  int saved = errno;
  if (*fd >= 0) close(*fd);
  *fd = -1;
  errno = saved;
}

int take_fd(int *fd) {
  int taken = *fd;
  *fd = -1;
  return taken;
}

int fault(int code, unsigned stage, const char *detail) {
  current = (struct fault){.code = code, .stage = stage};
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

static void send_completion(const struct ag_completion *c) {
  ssize_t n;
  do n = write(AG_EVENTS_FD, c, sizeof *c);
  while (n < 0 && errno == EINTR);
  /* 128 bytes are below PIPE_BUF, so a pipe takes all of them or none. */
  events_broken |= n != (ssize_t)sizeof *c;
}

/* Answers one request: result 0 is AG_OK, anything else is the recorded fault. A worker that no longer
 * reads its completions is as good as gone: the main loop ends, and cleans up. */
void reply(uint64_t seq, uint32_t slot, int result, const uint64_t value[8]) {
  struct ag_completion c = {.magic = AG_MAGIC, .version = AG_VERSION, .kind = AG_REPLY, .seq = seq, .slot = slot};
  if (result == 0) {
    if (value) memcpy(c.value, value, sizeof c.value);
  } else {
    c.code = current.code;
    c.sys_errno = current.sys_errno;
    c.stage = current.stage;
    memcpy(c.detail, current.detail, sizeof c.detail);
  }
  send_completion(&c);
}

void event_exit(uint32_t slot, uint64_t status, uint64_t oom_kills, uint64_t pid, uint64_t pids_refused) {
  struct ag_completion c = {.magic = AG_MAGIC, .version = AG_VERSION, .kind = AG_EVENT_EXIT, .slot = slot};
  memcpy(c.value, (const uint64_t[]){status, oom_kills, pid, pids_refused}, 4 * sizeof c.value[0]);
  send_completion(&c);
}

uint64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}
