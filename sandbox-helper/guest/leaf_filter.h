/* SPDX-License-Identifier: Apache-2.0
 * What a leaf forked from a zygote adds to the filter that it inherits. */
#ifndef ARGYLE_LEAF_FILTER_H
#define ARGYLE_LEAF_FILTER_H

#include "seccomp_profile.h"

/* Short, because the kernel evaluates it for every system call number when it is installed, and that is on
 * the path of a cold start. */
static inline void seccomp_build_fork(struct seccomp_program *p) {
  seccomp_start(p);
  seccomp_leaf_rules(p);
  seccomp_return(p, SECCOMP_RET_ALLOW);
}

static inline int seccomp_install_fork(void) {
  struct seccomp_program p;
  seccomp_build_fork(&p);
  return seccomp_set(&p);
}

#endif
