/* SPDX-License-Identifier: Apache-2.0
 * AG_REMOVE: removes a tree that the caller cannot remove, because an installer's files belong to the sandbox user. A
 * child process of the helper removes the tree, because a large tree must not stop the helper's loop.
 *
 * Safety: the tree is one component below the packages or code area (tree.c says how it is removed). The child has that
 * area's descriptor, two capabilities and nothing else. */
#include "verbs/verbs.h"

#define MAX_JOBS 16

static struct job {
  int pid_fd;
  uint64_t seq; /* of the request; 0: free */
} jobs[MAX_JOBS];

/* The child. Its exit status is an errno, or 255. */
__attribute__((noreturn)) static void remove_tree(int area_fd, const char *name) {
  const uint64_t caps = CAP(DAC_OVERRIDE) | CAP(FOWNER);
  bool confined = prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && keep_fds(&area_fd, 1) && priv_bound(caps) == 0 &&
                  priv_keep(caps, false) == 0;
  if (confined) errno = 0;
  if (confined && tree_remove(0, name) == 0) _exit(0);
  _exit(errno == 0 || errno > 254 ? 255 : errno);
}

/* job_ended() answers request seq later. */
int job_remove(struct session *s, uint64_t seq, uint64_t area, const char *name) {
  int area_fd = area == AG_AREA_PACKAGES ? s->packages_fd : area == AG_AREA_CODE ? s->code_fd : -1;
  uint32_t job = 0;
  if (area_fd < 0) return fault(AG_E_BADREQ, AG_ST_REMOVE, "area");
  if (!name_is_component(name)) return fault(AG_E_BADREQ, AG_ST_REMOVE, "name");
  while (job < MAX_JOBS && jobs[job].seq) job++;
  if (job == MAX_JOBS) return fault(AG_E_LIMIT, AG_ST_JOB, "too many jobs at once");
  pid_t pid = fork();
  if (pid < 0) return fault_sys(AG_ST_JOB, "fork");
  if (pid == 0) remove_tree(area_fd, name);
  SCOPED int pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
  if (pid_fd < 0 || watch_fd(s, pid_fd, WATCH_JOB, job) < 0) {
    fault_sys(AG_ST_JOB, "pidfd_open");
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return -1;
  }
  jobs[job] = (struct job){take_fd(&pid_fd), seq};
  return 0;
}

void job_ended(struct session *s, uint32_t job) {
  siginfo_t info = {0};
  if (job >= MAX_JOBS || !jobs[job].seq ||
      waitid((idtype_t)P_PIDFD, (id_t)jobs[job].pid_fd, &info, WEXITED | WNOHANG) < 0 || !info.si_pid)
    return;
  unwatch_fd(s, &jobs[job].pid_fd);
  errno = info.si_code == CLD_EXITED ? info.si_status : EINTR; /* EINTR: it was killed */
  complete(AG_REPLY, jobs[job].seq, 0, errno ? fault_name(AG_ST_REMOVE, "remove tree") : 0, NULL);
  jobs[job].seq = 0;
}
