/* SPDX-License-Identifier: Apache-2.0
 * The filter that a forked leaf adds to the one that it inherits from its zygote. */
#ifndef ARGYLE_LEAF_FILTER_H
#define ARGYLE_LEAF_FILTER_H

#include "seccomp_profile.h"

/* This filter is short. When a filter is installed, the kernel runs it once for every system call number, and a cold
 * start waits for that. */
static inline void seccomp_build_fork(struct seccomp_program *p) {
  seccomp_start(p);
  seccomp_leaf_rules(p);
  unsigned short block = seccomp_open_block(p, SYS_madvise);
  seccomp_load(p, SECCOMP_ARG(2));
  SECCOMP_IF_EQUAL(p, SECCOMP_COLLAPSE, SECCOMP_DENY(EINVAL));
  seccomp_close_block(p, block, SECCOMP_RET_ALLOW);
  seccomp_return(p, SECCOMP_RET_ALLOW);
}

static inline int seccomp_install_fork(void) {
  struct seccomp_program p;
  seccomp_build_fork(&p);
  return seccomp_set(&p);
}

#endif
