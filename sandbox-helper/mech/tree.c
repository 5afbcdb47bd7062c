/* SPDX-License-Identifier: Apache-2.0
 * Removes a tree of files.
 *
 * Safety: every step is relative to an open directory, no link is followed, and a directory on another mount or device
 * is left alone, as an error. */
#include <linux/openat2.h>

#include "mech/mech.h"

#define MAX_DEPTH 64     /* each level holds one descriptor; deeper directories are moved up first */
#define MAX_PASSES 10000 /* over the tree's root, for directories that were moved up */

/* top_fd: the tree's root. A directory that lies too deep is moved there, under a random name. */
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

int tree_remove(int dir_fd, const char *name) { return remove_depth(-1, dir_fd, name, 0); }
