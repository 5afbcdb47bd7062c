/* SPDX-License-Identifier: Apache-2.0
 * libFuzzer target: names against a real tree with every kind of trap. An opened file must lie below the root. */
#include <assert.h>
#include <limits.h>

#include "base/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static char root[PATH_MAX];
static struct session session;

static void clean(void) {
  char command[PATH_MAX + 16];
  snprintf(command, sizeof command, "rm -r '%s'", root);
  if (system(command)) fprintf(stderr, "%s is left\n", root);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  char made[] = "/tmp/argyle-fuzz-XXXXXX";
  (void)argc;
  (void)argv;
  if (!mkdtemp(made) || !realpath(made, root) || chdir(root) < 0 || atexit(clean)) abort();
  if (mkdir("in", 0755) < 0 || mkdir("in/a", 0755) < 0 || mkdir("in/a/b", 0755) < 0 || mkdir("out", 0755) < 0) abort();
  if (symlink("..", "in/up") < 0 || symlink("../out", "in/out") < 0 || symlink("/", "in/a/top") < 0 ||
      symlink("loop", "in/loop") < 0 || symlink("a", "in/l") < 0)
    abort();
  close(open("in/file", O_CREAT | O_WRONLY, 0644));
  snprintf(session.config.root[0], AG_NAME_MAX, "%s/in", root);
  session.config.nroots = 1;
  return 0;
}

static void lies_below(int fd) {
  char link[64], path[PATH_MAX], in[PATH_MAX + 8];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, path, sizeof path - 1);
  assert(n > 0);
  path[n] = 0;
  snprintf(in, sizeof in, "%s/in", root);
  assert(!strncmp(path, in, strlen(in)) && (path[strlen(in)] == 0 || path[strlen(in)] == '/'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char name[AG_NAME_MAX];
  if (size < 1 || size > AG_NAME_MAX) return 0;
  memset(name, 0, sizeof name);
  memcpy(name, data, size);
  if (!memchr(name, 0, AG_NAME_MAX)) {
    assert(size == AG_NAME_MAX);
    return 0;
  }
  SCOPED int fd = open_owned_dir(&session, 0, name);
  if (fd >= 0) lies_below(fd);
  SCOPED int top = open(session.config.root[0], O_PATH | O_DIRECTORY | O_CLOEXEC);
  SCOPED int beneath = open_beneath(top, name, O_PATH);
  if (beneath >= 0) lies_below(beneath);
  if (name_is_component(name)) assert(!strchr(name, '/') && strcmp(name, "..") && strcmp(name, ".") && name[0]);
  return 0;
}
