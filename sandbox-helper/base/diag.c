/* SPDX-License-Identifier: Apache-2.0
 * Faults, replies and events. */
#include <time.h>

#include "base/base.h"

static struct fault current;
bool events_broken;

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

/* Ends the helper with the stage as its exit code. */
void die(unsigned stage, const char *detail) {
  dprintf(2, "sandbox-helper: stage %u: %s%s%s\n", stage, detail, errno ? ": " : "", errno ? strerror(errno) : "");
  _exit((int)stage);
}

void die_of_fault(void) {
  errno = last_fault()->sys_errno;
  die(last_fault()->stage, last_fault()->detail);
}

static void send_completion(const struct ag_completion *c) {
  ssize_t n;
  do n = write(AG_EVENTS_FD, c, sizeof *c);
  while (n < 0 && errno == EINTR);
  /* 128 bytes are below PIPE_BUF: a pipe takes all of them or none. */
  events_broken |= n != (ssize_t)sizeof *c;
}

/* Answers one request: result 0 is AG_OK, any other result is the recorded fault. When the worker no longer reads its
 * completions, the main loop ends and cleans up. */
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
