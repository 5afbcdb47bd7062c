/* SPDX-License-Identifier: Apache-2.0
 * Prints the filters that sandbox-helper/seccomp_profile.h builds: a JSON object by network, of lists by position in
 * the order of syscalls.test.ts, of programs with the oldest first. An instruction is [code, jt, jf, k]. */
#include <stdio.h>

#include "guest/fork/leaf_filter.h"

static void print(const struct seccomp_program *p, const char *before) {
  printf("%s[", before);
  for (unsigned i = 0; i < p->n; i++)
    printf("%s[%u,%u,%u,%u]", i ? "," : "", p->code[i].code, p->code[i].jt, p->code[i].jf, p->code[i].k);
  printf("]");
}

int main(void) {
  static const char *const networks[] = {"outbound", "none", "host"};
  struct seccomp_program leaf, zygote, installer, fork;
  for (unsigned network = AG_NET_OUTBOUND; network <= AG_NET_HOST; network++) {
    seccomp_build(&leaf, AG_LEAF, network);
    seccomp_build(&zygote, AG_ZYGOTE, network);
    seccomp_build(&installer, AG_INSTALLER, network);
    seccomp_build_fork(&fork);
    printf("%s\"%s\":", network == AG_NET_OUTBOUND ? "{" : ",", networks[network - AG_NET_OUTBOUND]);
    print(&leaf, "[[");
    print(&zygote, "],[");
    print(&fork, ",");
    print(&zygote, "],[");
    print(&zygote, "],[");
    print(&installer, "],[");
    printf("]]");
  }
  printf("}\n");
  return 0;
}
