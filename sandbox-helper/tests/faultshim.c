/* SPDX-License-Identifier: Apache-2.0
 * LD_PRELOAD library: the N-th call of the C library that reaches the kernel fails with a chosen errno.
 *
 * The plan lies in a file that the test writes and that is mapped at start, so it also reaches the
 * helper's children until they exec. close() is left out, because no caller acts on its result. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct plan {
  unsigned armed, count, fail_at;
  int error;
  unsigned hits;
  char name[44];
};

static struct plan *plan;

__attribute__((constructor)) static void map_plan(void) {
  const char *path = getenv("ARGYLE_FAULT_PLAN");
  int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
  void *at = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (fd >= 0) close(fd);
  if (at != MAP_FAILED) plan = at;
}

static int fails(const char *name) {
  if (!plan || !__atomic_load_n(&plan->armed, __ATOMIC_SEQ_CST)) return 0;
  if (__atomic_add_fetch(&plan->count, 1, __ATOMIC_SEQ_CST) != plan->fail_at) return 0;
  snprintf(plan->name, sizeof plan->name, "%s", name);
  __atomic_add_fetch(&plan->hits, 1, __ATOMIC_SEQ_CST);
  errno = plan->error;
  return 1;
}

/* Passes on six words: no wrapped call has more. The result is converted to `type`. */
#define WRAP_AS(name, type)                                                        \
  long shim_##name(long a, long b, long c, long d, long e, long f) __asm__(#name); \
  long shim_##name(long a, long b, long c, long d, long e, long f) {               \
    static long (*real)(long, long, long, long, long, long);                       \
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name);                          \
    return fails(#name) ? -1 : (long)(type)real(a, b, c, d, e, f);                 \
  }
#define WRAP(name) WRAP_AS(name, int)
#define WRAP_LONG(name) WRAP_AS(name, long)

/* clang-format off */
WRAP(open) WRAP(openat) WRAP(mkdirat) WRAP(unlinkat) WRAP(renameat) WRAP(fchownat) WRAP(fchown) WRAP(fchmodat)
WRAP(symlinkat) WRAP(mknodat) WRAP(fstat) WRAP(lstat) WRAP(statfs) WRAP(flock) WRAP(dup) WRAP(dup2) WRAP(pipe2)
WRAP(socketpair) WRAP(fcntl) WRAP(epoll_create1) WRAP(epoll_ctl) WRAP(epoll_wait) WRAP(signalfd) WRAP(mount)
WRAP(umount2) WRAP(unshare) WRAP(chdir) WRAP(fchdir) WRAP(chroot) WRAP(getsockopt) WRAP(prctl) WRAP(setresuid)
WRAP(setresgid) WRAP(setgroups) WRAP(getgroups) WRAP(setrlimit) WRAP(getrlimit) WRAP(sethostname)
WRAP(sigprocmask) WRAP(fork) WRAP(setns) WRAP(waitpid) WRAP(waitid) WRAP(poll) WRAP(kill) WRAP(getifaddrs) WRAP(execve)
WRAP_LONG(read) WRAP_LONG(write) WRAP_LONG(send) WRAP_LONG(sendmsg) WRAP_LONG(recv) WRAP_LONG(recvmsg)
WRAP_LONG(getrandom)
    /* clang-format on */

    /* readdir() makes its system call inside the C library and bypasses the shim, so only fdopendir() can fail. */
    void *shim_fdopendir(int fd) __asm__("fdopendir");
void *shim_fdopendir(int fd) {
  static void *(*real)(int);
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "fdopendir");
  return fails("fdopendir") ? NULL : real(fd);
}

/* fork() instead of vfork(): a vforked child must not return from here. No caller needs the shared memory. */
long shim_vfork(void) __asm__("vfork");
long shim_vfork(void) {
  static int (*real)(void);
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "fork");
  return fails("vfork") ? -1 : real();
}

long shim_syscall(long number, ...) __asm__("syscall");
long shim_syscall(long number, ...) {
  static long (*real)(long, ...);
  long a[6];
  char name[32];
  va_list list;
  va_start(list, number);
  for (int i = 0; i < 6; i++) a[i] = va_arg(list, long);
  va_end(list);
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "syscall");
  snprintf(name, sizeof name, "syscall %ld", number);
  return fails(name) ? -1 : real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
