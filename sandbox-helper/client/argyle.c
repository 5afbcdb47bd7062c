/* SPDX-License-Identifier: Apache-2.0
 * libargyle: functions that the worker lacks in JavaScript. It has no privileges. Every function returns 0 or a
 * descriptor, or -errno, and none blocks. */
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
#define BACKLOG 1024

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

/* Makes the listening socket `name` in a directory, and pipes for the log and for errors. out: socket; write end and
 * non-blocking read end of the log's pipe; the same ends of the errors' pipe. The path goes through /proc, because
 * sun_path holds only 107 characters. */
EXPORT int argyle_slot_fds(int dir_fd, const char *name, int out[5]) {
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  int pipes[2][2] = {{-1, -1}, {-1, -1}}, saved;
  int n = snprintf(a.sun_path, sizeof a.sun_path, "/proc/self/fd/%d/%s", dir_fd, name);
  if (n < 0 || (size_t)n >= sizeof a.sun_path) return -ENAMETOOLONG;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  if (pipe2(pipes[0], O_CLOEXEC) < 0 || fcntl(pipes[0][0], F_SETFL, O_NONBLOCK) < 0 || pipe2(pipes[1], O_CLOEXEC) < 0 ||
      fcntl(pipes[1][0], F_SETFL, O_NONBLOCK) < 0 ||
      fchmod(fd, 0600) < 0 || /* before bind, so that the path has this mode from the start */
      bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, BACKLOG) < 0) {
    saved = errno;
    close(fd);
    for (int i = 0; i < 4; i++)
      if (pipes[i / 2][i % 2] >= 0) close(pipes[i / 2][i % 2]);
    return -saved;
  }
  out[0] = fd;
  out[1] = pipes[0][1];
  out[2] = pipes[0][0];
  out[3] = pipes[1][1];
  out[4] = pipes[1][0];
  return 0;
}

/* The address of the socket `name` in a directory, through /proc as above. */
static int address(struct sockaddr_un *a, int dir_fd, const char *name) {
  *a = (struct sockaddr_un){.sun_family = AF_UNIX};
  int n = snprintf(a->sun_path, sizeof a->sun_path, "/proc/self/fd/%d/%s", dir_fd, name);
  return n < 0 || (size_t)n >= sizeof a->sun_path ? -ENAMETOOLONG : 0;
}

/* Makes the socket `name` in a directory. The socket takes descriptors from the processes of this user and of root. */
EXPORT int argyle_inbox(int dir_fd, const char *name) {
  struct sockaddr_un a;
  int failed = address(&a, dir_fd, name);
  if (failed) return failed;
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  if (fchmod(fd, 0600) < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) < 0) { /* bind makes the path with this mode */
    int saved = errno;
    close(fd);
    return -saved;
  }
  return fd;
}

/* Sends a descriptor to an inbox. */
EXPORT int argyle_give(int dir_fd, const char *name, int given) {
  struct sockaddr_un a;
  int failed = address(&a, dir_fd, name);
  if (failed) return failed;
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  failed = connect(fd, (struct sockaddr *)&a, sizeof a) < 0 ? -errno : argyle_submit(fd, "", 1, &given, 1);
  close(fd);
  return failed;
}

/* The descriptor that was sent to an inbox; -EAGAIN when there is none. */
EXPORT int argyle_take(int inbox) {
  union {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(int))];
  } ancillary = {0};
  char byte;
  int fd;
  struct iovec part = {&byte, 1};
  struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &ancillary, .msg_controllen = sizeof ancillary};
  if (recvmsg(inbox, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0) return -errno;
  struct cmsghdr *c = CMSG_FIRSTHDR(&m);
  if (!c || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof fd)) return -EBADMSG;
  memcpy(&fd, CMSG_DATA(c), sizeof fd);
  return fd;
}

/* Sets the scheduler slice of this thread, and of the threads and processes that it starts later, to `us` µs (100 to
 * 100,000). The share of the processor stays the same. A shorter slice preempts a longer one on wake-up. Linux before
 * 6.12 ignores the slice. */
EXPORT int argyle_set_sched_slice(unsigned us) {
  struct sched_attr attr = {0};
  if (syscall(SYS_sched_getattr, 0, &attr, sizeof attr, 0) < 0) return -errno;
  if (attr.sched_policy != SCHED_NORMAL) return -EINVAL; /* another policy is set */
  attr.sched_runtime = us * 1000ULL;
  return syscall(SYS_sched_setattr, 0, &attr, 0) < 0 ? -errno : 0;
}
