/* SPDX-License-Identifier: Apache-2.0
 * AG_REMOVE: removes a tree that the caller cannot, because an installer's files belong to the sandbox
 * user. Runs in a child process: a large tree must not stop the helper's loop.
 *
 * Safety: one component below the packages or code area; every step is relative to an open directory,
 * no link is followed, and a directory on another mount or device is left alone, as an error. */
#include <linux/openat2.h>

#include "helper.h"

#define MAX_DEPTH 64     /* each level holds one descriptor; what lies deeper is moved up first */
#define MAX_PASSES 10000 /* over the tree's root, for what was moved up */

/* top_fd: the tree's root, where a directory that lies too deep is moved under a name of ours. */
static int remove_depth(int top_fd, int dir_fd, const char *name, int depth) {
  char moved[CG_NAME];
  if (unlinkat(dir_fd, name, 0) == 0) return 0;
  if (errno == ENOENT) return depth ? 0 : -1;
  if (errno != EISDIR && errno != EPERM) return -1;
  if (depth == MAX_DEPTH) return random_name(moved) < 0 ? -1 : renameat(dir_fd, name, top_fd, moved);
  SCOPED int opened = open_resolved(dir_fd, name, O_RDONLY | O_DIRECTORY, RESOLVE_BENEATH | RESOLVE_NO_XDEV);
  DIR *d = opened < 0 ? NULL : fdopendir(opened);
  if (!d) return -1;
  int fd = take_fd(&opened), left = 1, failed = 0; /* closedir() closes it */
  for (int pass = 0; left && !failed && pass < (depth ? 1 : MAX_PASSES); pass++) {
    rewinddir(d);
    left = 0;
    for (struct dirent *e; !failed && (e = readdir(d));)
      if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && ++left)
        failed = remove_depth(depth ? top_fd : fd, fd, e->d_name, depth + 1) < 0;
  }
  int saved = errno;
  closedir(d);
  errno = saved;
  return failed ? -1 : unlinkat(dir_fd, name, AT_REMOVEDIR);
}

static void removed(struct session *s, uint64_t seq, int status) {
  (void)s;
  errno = status < 0 ? EINTR : status; /* -1: it was killed */
  reply(seq, 0, status ? fault_name(AG_ST_REMOVE, "remove tree") : 0, NULL);
}

int tree_remove_job(struct session *s, uint64_t seq, uint64_t area, const char *name) {
  int area_fd = area == AG_AREA_PACKAGES ? s->packages_fd : area == AG_AREA_CODE ? s->code_fd : -1;
  if (area_fd < 0) return fault(AG_E_BADREQ, AG_ST_REMOVE, "area");
  if (!name_is_component(name)) return fault(AG_E_BADREQ, AG_ST_REMOVE, "name");
  int job = job_fork(s, &area_fd, 1, CAP(DAC_OVERRIDE) | CAP(FOWNER), removed, seq);
  if (job <= 0) return job;
  errno = 0;
  if (remove_depth(-1, 0, name, 0) == 0) _exit(0);
  _exit(errno == 0 || errno > 254 ? 255 : errno);
}
