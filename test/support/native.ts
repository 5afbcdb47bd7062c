/**
 * Native functions (`f.bin`) for tests: small C programs, linked statically, so that they run in any root directory.
 */
import { execFileSync } from 'node:child_process';

/** Answers `{"native":EVENT}` with its standard input. */
export const NATIVE_ECHO = `
#include <stdio.h>
int main(void) {
  char event[4096];
  size_t size = fread(event, 1, sizeof event, stdin);
  return printf("{\\"native\\":%.*s}", (int)size, event) < 0;
}
`;

/** Acts on its event, a JSON string: reports about itself, writes a result file, fails, and so on. */
export const NATIVE_MANY = `
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static char event[1 << 20];

int main(int argc, char **argv) {
  size_t size = fread(event, 1, sizeof event, stdin);
  if (!strcmp(event, "\\"tell\\"")) {
    printf("{\\"argument\\":%s,\\"uid\\":%d,\\"greeting\\":\\"%s\\",", argc > 1 ? argv[1] : "null", getuid(), getenv("GREETING"));
    printf("\\"cwd\\":\\"%s\\",\\"writable\\":%d,", getcwd(NULL, 0), !access("/handler/f.bin", W_OK));
    int refused = mount("none", "/tmp", "tmpfs", 0, NULL) ? errno : 0;
    printf("\\"mount\\":%d,\\"no_new_privs\\":%d}", refused, prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
  } else if (!strcmp(event, "\\"file\\"")) {
    fputs("\\"from the file\\"", fopen("/tmp/output", "w"));
    puts("ignored");
  } else if (!strcmp(event, "\\"fail\\"")) {
    fputs("it went wrong\\n", stderr);
    return 3;
  } else if (!strcmp(event, "\\"crash\\"")) {
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    abort();
  } else if (!strcmp(event, "\\"hang\\"")) {
    pause();
  } else if (!strcmp(event, "\\"eat\\"")) {
    for (size_t i = 0; i < 400; i++) memset(malloc(1 << 20), 1, 1 << 20);
  } else {
    printf("{\\"size\\":%zu,\\"arguments\\":%d}", size, argc - 1);
  }
  return 0;
}
`;

/** Compiles C source to a static executable at `path`. */
export function buildStatic(source: string, path: string): void {
  execFileSync('cc', ['-O1', '-static', '-x', 'c', '-o', path, '-'], { input: source });
}
