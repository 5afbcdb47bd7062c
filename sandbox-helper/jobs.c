/* SPDX-License-Identifier: Apache-2.0
 * Work that would stop the helper's loop for milliseconds is done by a child process of the helper. */
#include "helper.h"

#define MAX_JOBS 16

static struct running {
  int pid_fd;
  job_end *ended; /* NULL: free */
  uint64_t tag;
} jobs[MAX_JOBS];

/* In a child: these descriptors become 0 and up, all others are closed. */
bool keep_fds(const int fds[], int nfds) {
  int moved[JOB_FDS];
  bool ok = true;
  /* Upwards first, so that none is overwritten before it is moved to its place. */
  for (int i = 0; i < nfds; i++) ok = ok && (moved[i] = fcntl(fds[i], F_DUPFD, nfds)) >= 0;
  for (int i = 0; i < nfds; i++) ok = ok && dup2(moved[i], i) == i;
  return ok && syscall(SYS_close_range, (unsigned)nfds, ~0u, 0u) == 0;
}

/* Forks. Returns 1 in the job, which has these descriptors as 0 and up and these capabilities, nothing
 * else, and must _exit with a status below 256; 0 in the helper, where `ended` gets the tag and that
 * status later, -1 for a job that was killed. */
int job_fork(struct session *s, const int fds[], int nfds, uint64_t caps, job_end *ended, uint64_t tag) {
  uint32_t job = 0;
  while (job < MAX_JOBS && jobs[job].ended) job++;
  if (job == MAX_JOBS) return fault(AG_E_LIMIT, AG_ST_JOB, "too many jobs at once");
  pid_t pid = fork();
  if (pid < 0) return fault_sys(AG_ST_JOB, "fork");
  if (pid == 0) {
    errno = 0;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && keep_fds(fds, nfds) && priv_bound(caps) == 0 &&
        priv_keep(caps, false) == 0)
      return 1;
    _exit(errno == 0 || errno > 254 ? 255 : errno);
  }
  SCOPED int pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
  if (pid_fd < 0 || watch_fd(s, pid_fd, WATCH_JOB, job) < 0) {
    fault_sys(AG_ST_JOB, "pidfd_open");
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return -1;
  }
  jobs[job] = (struct running){take_fd(&pid_fd), ended, tag};
  return 0;
}

void job_ended(struct session *s, uint32_t job) {
  siginfo_t info = {0};
  if (job >= MAX_JOBS || !jobs[job].ended ||
      waitid((idtype_t)P_PIDFD, (id_t)jobs[job].pid_fd, &info, WEXITED | WNOHANG) < 0 || !info.si_pid)
    return;
  unwatch_fd(s, &jobs[job].pid_fd);
  job_end *ended = jobs[job].ended;
  jobs[job].ended = NULL;
  ended(s, jobs[job].tag, info.si_code == CLD_EXITED ? info.si_status : -1);
}
