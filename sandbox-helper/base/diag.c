/* SPDX-License-Identifier: Apache-2.0
 * Faults, and completions. */
#include <time.h>

#include "base/base.h"

static struct ag_completion current; /* of the last fault: code, sys_errno, stage, detail */
bool events_broken;

int fault(int code, unsigned stage, const char *detail) {
  current = (struct ag_completion){.code = code, .stage = stage};
  snprintf(current.detail, sizeof current.detail, "%s", detail);
  return -1;
}

int fault_sys(unsigned stage, const char *detail) {
  int saved = errno;
  fault(AG_E_SYS, stage, detail);
  current.sys_errno = saved;
  return -1;
}

const struct ag_completion *last_fault(void) { return &current; }

/* Ends the helper with the stage as its exit code. */
void die(unsigned stage, const char *detail) {
  dprintf(2, "sandbox-helper: stage %u: %s%s%s\n", stage, detail, errno ? ": " : "", errno ? strerror(errno) : "");
  _exit((int)stage);
}

void die_of_fault(void) {
  errno = last_fault()->sys_errno;
  die(last_fault()->stage, last_fault()->detail);
}

/* Sends the answer to a request, or an event. Result 0 is AG_OK; with any other result the recorded fault is sent, and
 * no value. When the worker no longer reads its completions, the main loop ends and cleans up. */
void complete(enum ag_kind kind, uint64_t seq, uint32_t slot, int result, const uint64_t value[8]) {
  struct ag_completion c = {0};
  ssize_t n;
  if (result != 0) c = current;
  if (result == 0 && value) memcpy(c.value, value, sizeof c.value);
  c.magic = AG_MAGIC, c.version = AG_VERSION, c.kind = (uint16_t)kind, c.seq = seq, c.slot = slot;
  do n = write(AG_EVENTS_FD, &c, sizeof c);
  while (n < 0 && errno == EINTR);
  /* 128 bytes are below PIPE_BUF: a pipe takes all of them or none. */
  events_broken |= n != (ssize_t)sizeof c;
}

uint64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}
