/* SPDX-License-Identifier: Apache-2.0
 * The tables of the session: descriptors, and slots by number. */
#include <sys/signalfd.h>

#include "base/base.h"

void session_start(struct session *s) {
  sigset_t stop;
  for (uint32_t id = 0; id <= AG_MAX_SLOTS; id++)
    s->slot[id] = (struct slot){.guest_fd = {-1, -1, -1}, .link_fd = -1, .pid_fd = -1, .sync_fd = -1};
  s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  s->proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
  s->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  s->self_fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
  if (s->epoll_fd < 0 || s->proc_fd < 0 || s->null_fd < 0 || s->self_fd < 0) die(AG_ST_PRIV, "/proc or /dev/null");
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGINT);
  int signal_fd = signalfd(-1, &stop, SFD_CLOEXEC);
  if (signal_fd < 0 || watch_fd(s, signal_fd, WATCH_SIGNAL, 0) < 0 || watch_fd(s, AG_CONTROL_FD, WATCH_CONTROL, 0) < 0)
    die(AG_ST_PRIV, "event loop");
}

/* The zygote that a slot's process was forked from; NULL when there is none, or when it has ended. */
struct slot *session_zygote(struct session *s, const struct slot *slot) {
  struct slot *zygote = &s->slot[slot->source];
  return slot->source && zygote->state == SLOT_RUNNING && !strcmp(zygote->name, slot->v1.zygote) ? zygote : NULL;
}
