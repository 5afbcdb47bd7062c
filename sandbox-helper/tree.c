/* SPDX-License-Identifier: Apache-2.0
 * AG_REMOVE: removes a tree that the caller cannot, because an installer's files belong to the sandbox
 * user. Runs in a child process: a large tree must not stop the helper's loop.
 *
 * Safety: one component below the packages or code area; every step is relative to an open directory,
 * no link is followed, and a directory on another mount or device is left alone, as an error. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper.h"

#define MAX_DEPTH 200 /* each level holds one descriptor */
#define MAX_JOBS 16

static struct {
  int pid_fd;
  uint64_t seq;
} jobs[MAX_JOBS]; /* seq 0: free */

static int open_same_mount(int dir_fd, const char *name) {
  struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW,
                         .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV};
  return (int)syscall(SYS_openat2, dir_fd, name, &how, sizeof how);
}

static int remove_depth(int dir_fd, const char *name, int depth) {
  if (unlinkat(dir_fd, name, 0) == 0) return 0;
  if (errno == ENOENT) return depth ? 0 : -1;
  if (errno != EISDIR && errno != EPERM) return -1;
  if (depth == MAX_DEPTH) {
    errno = ENAMETOOLONG;
    return -1;
  }
  int fd = open_same_mount(dir_fd, name), failed = 0;
  if (fd < 0) return -1;
  DIR *d = fdopendir(fd);
  if (!d) {
    close(fd);
    return -1;
  }
  for (struct dirent *e; !failed && (e = readdir(d));)
    if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) failed = remove_depth(fd, e->d_name, depth + 1) < 0;
  int saved = errno;
  closedir(d);
  errno = saved;
  return failed ? -1 : unlinkat(dir_fd, name, AT_REMOVEDIR);
}

int tree_remove_at(int dir_fd, const char *name) { return remove_depth(dir_fd, name, 0); }

int tree_remove_job(struct session *s, uint64_t seq, unsigned area, const char *name) {
  int area_fd = area == AG_AREA_PACKAGES ? s->packages_fd : area == AG_AREA_CODE ? s->code_fd : -1;
  uint32_t job = 0;
  if (area_fd < 0) return fault(AG_E_BADREQ, AG_ST_REMOVE, "area");
  if (!name_is_component(name)) return fault(AG_E_BADREQ, AG_ST_REMOVE, "name");
  while (job < MAX_JOBS && jobs[job].seq) job++;
  if (job == MAX_JOBS) return fault(AG_E_LIMIT, AG_ST_REMOVE, "too many removals at once");
  pid_t pid = fork();
  if (pid < 0) return fault_sys(AG_ST_REMOVE, "fork");
  if (pid == 0) _exit(tree_remove_at(area_fd, name) == 0 ? 0 : errno == 0 || errno > 254 ? 255 : errno);
  jobs[job].pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
  if (jobs[job].pid_fd < 0 || watch_fd(s, jobs[job].pid_fd, WATCH_JOB, job) < 0) {
    int ok = fault_sys(AG_ST_REMOVE, "pidfd_open");
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return ok;
  }
  jobs[job].seq = seq;
  return 0;
}

void tree_job_ended(struct session *s, uint32_t job) {
  siginfo_t info = {0};
  (void)s;
  if (job >= MAX_JOBS || waitid((idtype_t)P_PIDFD, (id_t)jobs[job].pid_fd, &info, WEXITED | WNOHANG) < 0 ||
      !info.si_pid)
    return;
  close(jobs[job].pid_fd);
  uint64_t seq = jobs[job].seq;
  jobs[job].seq = 0;
  int result = 0;
  if (info.si_code != CLD_EXITED) {
    result = fault(AG_E_SYS, AG_ST_REMOVE, "the remover was killed");
  } else if (info.si_status == ENOENT) {
    result = fault(AG_E_NOENT, AG_ST_REMOVE, "no such tree");
  } else if (info.si_status) {
    errno = info.si_status;
    result = fault_sys(AG_ST_REMOVE, "remove tree");
  }
  if (reply(seq, 0, result, NULL) < 0) die(AG_ST_EVENTS, "completion pipe");
}
