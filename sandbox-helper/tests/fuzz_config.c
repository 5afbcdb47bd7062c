/* SPDX-License-Identifier: Apache-2.0
 * libFuzzer target: helper.conf's parser. An accepted configuration must be usable without further checks. */
#include <assert.h>

#include "base/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void is_path(const char *path, bool absolute) {
  assert(memchr(path, 0, AG_NAME_MAX) && (path[0] == '/') == absolute && !strstr(path, ".."));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct config c;
  char *text = malloc(size + 1); /* exact size, so that the sanitizer reports each read beyond the text */
  memcpy(text, data, size);
  text[size] = 0;
  if (config_parse(text, &c) == 0) {
    assert(c.nroots >= 1 && c.nroots <= MAX_ROOTS);
    for (unsigned i = 0; i < c.nroots; i++) is_path(c.root[i], true);
    is_path(c.guest, true);
    if (c.cgroup_root[0]) is_path(c.cgroup_root, false);
    assert(c.first_uid != 0 && c.uids >= AG_UIDS && c.first_uid + c.uids > c.first_uid);
    assert(c.caller_gid != (gid_t)-1);
  } else {
    assert(last_fault()->stage == AG_ST_CONFIG && last_fault()->code == AG_E_BADREQ);
    assert(memchr(last_fault()->detail, 0, sizeof last_fault()->detail));
  }
  free(text);
  return 0;
}
