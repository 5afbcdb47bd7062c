/* SPDX-License-Identifier: Apache-2.0
 * libargyle: what the worker cannot do from JavaScript. Unprivileged; every function returns 0 or a
 * descriptor, or -errno, and none of them blocks. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <linux/sched/types.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "../protocol.h"
#include "argyle.h"

#define EXPORT __attribute__((visibility("default")))
#define BACKLOG 16

/* out: worker's control end, helper's control end, worker's events end, helper's events end. */
EXPORT int argyle_channel(int out[4]) {
  int control[2], events[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) < 0) return -errno;
  if (pipe2(events, O_CLOEXEC) < 0) {
    int saved = errno;
    close(control[0]);
    close(control[1]);
    return -saved;
  }
  fcntl(events[0], F_SETFL, O_NONBLOCK);
  out[0] = control[0];
  out[1] = control[1];
  out[2] = events[0];
  out[3] = events[1];
  return 0;
}

/* Sends one request with up to AG_MAX_FDS descriptors. -EAGAIN: the socket is full, try again soon. */
EXPORT int argyle_submit(int control, const void *request, unsigned size, const int *fds, unsigned nfds) {
  union {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(int) * AG_MAX_FDS)];
  } ancillary = {0};
  struct iovec part = {(void *)(uintptr_t)request, size};
  struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};
  if (nfds > AG_MAX_FDS) return -EINVAL;
  if (nfds) {
    m.msg_control = &ancillary;
    m.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
    ancillary.head.cmsg_level = SOL_SOCKET;
    ancillary.head.cmsg_type = SCM_RIGHTS;
    ancillary.head.cmsg_len = CMSG_LEN(sizeof(int) * nfds);
    memcpy(CMSG_DATA(&ancillary.head), fds, sizeof(int) * nfds);
  }
  ssize_t n = sendmsg(control, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
  return n < 0 ? -errno : n == (ssize_t)size ? 0 : -EIO;
}

EXPORT int argyle_open_dir(const char *path) {
  int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

/* Makes the listening socket `name` in a directory, and a log pipe. out: socket, log write end, log
 * read end (non-blocking). The path goes through /proc, because sun_path holds only 107 characters. */
EXPORT int argyle_slot_fds(int dir_fd, const char *name, int out[3]) {
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  int log[2] = {-1, -1}, saved;
  int n = snprintf(a.sun_path, sizeof a.sun_path, "/proc/self/fd/%d/%s", dir_fd, name);
  if (n < 0 || (size_t)n >= sizeof a.sun_path) return -ENAMETOOLONG;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  if (pipe2(log, O_CLOEXEC) < 0 || fcntl(log[0], F_SETFL, O_NONBLOCK) < 0 ||
      fchmod(fd, 0600) < 0 || /* before bind: the path is born with this mode */
      bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, BACKLOG) < 0) {
    saved = errno;
    close(fd);
    if (log[0] >= 0) close(log[0]);
    if (log[1] >= 0) close(log[1]);
    return -saved;
  }
  out[0] = fd;
  out[1] = log[1];
  out[2] = log[0];
  return 0;
}

/* Has this thread, and what it starts from now on, ask the scheduler for turns of `us` microseconds (100 to
 * 100,000). Their share stays the same; who wakes with a shorter turn is let in before who has a longer one.
 * Linux before 6.12 takes no notice. */
EXPORT int argyle_slice(unsigned us) {
  struct sched_attr attr = {0};
  if (syscall(SYS_sched_getattr, 0, &attr, sizeof attr, 0) < 0) return -errno;
  if (attr.sched_policy != SCHED_NORMAL) return -EINVAL; /* somebody chose otherwise */
  attr.sched_runtime = us * 1000ULL;
  return syscall(SYS_sched_setattr, 0, &attr, 0) < 0 ? -errno : 0;
}
