/* SPDX-License-Identifier: Apache-2.0
 * The descriptors that the main loop waits for. */
#include "base/base.h"

int watch_fd(struct session *s, int fd, enum watch kind, uint32_t id) {
  struct epoll_event e = {.events = EPOLLIN, .data.u64 = (uint64_t)kind << 32 | id};
  return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0 ? fault_sys(AG_ST_SLOT, "epoll_ctl") : 0;
}

void unwatch_fd(struct session *s, int *fd) {
  /* Closing alone is not enough: a child that has just been cloned may hold a copy. */
  if (*fd >= 0) epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, *fd, NULL);
  close_scoped(fd);
}
