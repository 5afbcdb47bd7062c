/** Native functions (`f.bin`) for tests: small C programs, linked statically, so that any root will do. */
import { execFileSync } from 'node:child_process';

/** Answers `{"native":EVENT}` with what it is given on standard input. */
export const NATIVE_ECHO = `
#include <stdio.h>
int main(void) {
  char event[4096];
  size_t size = fread(event, 1, sizeof event, stdin);
  return printf("{\\"native\\":%.*s}", (int)size, event) < 0;
}
`;

/** Compiles C source to a static executable at `path`. */
export function buildStatic(source: string, path: string): void {
  execFileSync('cc', ['-O1', '-static', '-x', 'c', '-o', path, '-'], { input: source });
}
