/* SPDX-License-Identifier: Apache-2.0
 * Descriptors that close at the end of a scope, and descriptors that a child process keeps. */
#include "base/base.h"

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

/* In a child process: moves these descriptors to 0 and up, and closes all others. */
bool keep_fds(const int fds[], int nfds) {
  int moved[KEEP_FDS_MAX];
  bool ok = true;
  /* Each descriptor is first moved above all targets, so that no descriptor is overwritten before it is moved. */
  for (int i = 0; i < nfds; i++) ok = ok && (moved[i] = fcntl(fds[i], F_DUPFD, nfds)) >= 0;
  for (int i = 0; i < nfds; i++) ok = ok && dup2(moved[i], i) == i;
  return ok && syscall(SYS_close_range, (unsigned)nfds, ~0u, 0u) == 0;
}
