/* SPDX-License-Identifier: Apache-2.0
 * The zygote's fork, as a module of Python's stable ABI: one build serves any Python from 3.7 on. Not by ctypes: each
 * child would copy 15 mappings and some 20 pages more for it (docs/adr/0006-cold-start.md).
 *
 * One clone3 puts the child into the slot's cgroup and into a pid and an IPC namespace of its own. The
 * child then enters the slot's root, closes every descriptor that is not its own, drops all privileges
 * (a leaf) and returns into Python. It parks until the helper lets it go, so it runs no handler code
 * before it is admitted. */
#define Py_LIMITED_API 0x03070000
#include <Python.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../protocol.h"
#include "leaf_filter.h"
#include "text.h"

enum order_fd { FD_ROOT, FD_CGROUP, FD_LISTEN, FD_LOG, FD_LINK };

/* Returns how many descriptors came along, -errno when none can any more. */
static int take_order(int link_fd, struct ag_link_msg *order, int fds[AG_LINK_MAX_FDS]) {
  union {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(int) * AG_LINK_MAX_FDS)];
  } control;
  struct iovec part = {order, sizeof *order};
  struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  ssize_t n = recvmsg(link_fd, &m, MSG_CMSG_CLOEXEC);
  if (n == 0) return -ENOTCONN;
  if (n < 0) return -errno;
  struct cmsghdr *c = CMSG_FIRSTHDR(&m);
  if (n != (ssize_t)sizeof *order || order->op != AG_LINK_FORK || !c || c->cmsg_type != SCM_RIGHTS ||
      c->cmsg_len < CMSG_LEN(sizeof(int) * AG_LINK_FORK_FDS) || c->cmsg_len > CMSG_LEN(sizeof(int) * AG_LINK_MAX_FDS))
    return -EPROTO;
  size_t size = c->cmsg_len - CMSG_LEN(0);
  memcpy(fds, CMSG_DATA(c), size);
  return (int)(size / sizeof(int));
}

__attribute__((noreturn)) static void fail(unsigned stage) { _exit((int)stage); }

/* Only the slot's own descriptors survive, at the numbers every guest knows; both sockets blocking, and closed in
 * programs that a handler starts (channel.protect() of a fresh guest). */
static void keep_own_descriptors(const int fds[]) {
  int link = fcntl(fds[FD_LINK], F_DUPFD_CLOEXEC, 20), listen = fcntl(fds[FD_LISTEN], F_DUPFD_CLOEXEC, 20);
  int log = fcntl(fds[FD_LOG], F_DUPFD_CLOEXEC, 20), null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (link < 0 || listen < 0 || log < 0 || null < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0 ||
      dup3(link, AG_GUEST_LINK_FD, O_CLOEXEC) < 0 || dup3(listen, AG_GUEST_LISTEN_FD, O_CLOEXEC) < 0 ||
      fcntl(AG_GUEST_LINK_FD, F_SETFL, 0) < 0 || fcntl(AG_GUEST_LISTEN_FD, F_SETFL, 0) < 0)
    fail(AG_ST_GUEST_ROOT);
  if (syscall(SYS_close_range, 5u, ~0u, 0u) < 0) fail(AG_ST_GUEST_ROOT);
}

static void drop_everything(void) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct none[2];
  memset(none, 0, sizeof none);
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 || syscall(SYS_capset, &header, none) < 0 ||
      prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
    fail(AG_ST_GUEST_PRIV);
  if (prctl(PR_GET_SECCOMP) == SECCOMP_MODE_FILTER && seccomp_install_fork() < 0) fail(AG_ST_GUEST_SECCOMP);
}

static int answer(int link_fd, const struct ag_link_msg *order, int result) {
  struct ag_link_msg m = {.op = AG_LINK_FORKED, .role = order->role, .seq = order->seq, .result = result};
  return send(link_fd, &m, sizeof m, MSG_NOSIGNAL) == (ssize_t)sizeof m ? 0 : -ENOTCONN;
}

/* First of all, so that whatever the child takes is its own. It is the child that answers, once it is in. */
static void join_cgroups(int link_fd, const struct ag_link_msg *order, const int fds[], int nfds) {
  for (int i = AG_LINK_FORK_FDS; i < nfds; i++)
    if (write(fds[i], "0", 1) != 1) { /* 0: the calling thread, the only one */
      answer(link_fd, order, -errno);
      fail(AG_ST_GUEST_CGROUP);
    }
  if (answer(link_fd, order, 0) < 0) fail(AG_ST_GUEST_CGROUP);
}

static void become_guest(const struct ag_link_msg *order, const int fds[]) {
  sigset_t none;
  if (fchdir(fds[FD_ROOT]) < 0 || chroot(".") < 0 || chdir("/") < 0) fail(AG_ST_GUEST_ROOT);
  keep_own_descriptors(fds);
  setsid();
  signal(SIGCHLD, SIG_DFL);
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  if (order->role == AG_LEAF) drop_everything();
}

/* glibc keeps the thread's id next to its thread descriptor and trusts it in raise() and mutexes. It
 * told the kernel where, as the address to clear at exit; a raw clone3 must refresh it there. */
static int *tid_address(void) {
  int *address = NULL;
#ifdef PR_GET_TID_ADDRESS
  if (prctl(PR_GET_TID_ADDRESS, &address) < 0) address = NULL;
#endif
  return address;
}

/* Serves the order that waits on link_fd. Returns 0 in the zygote; 1 in a new leaf, 2 in a new zygote and
 * 3 in a leaf that stays parked; -errno when the zygote cannot go on (-ENOTCONN: the helper is gone). */
static int guest_fork(int link_fd) {
  struct ag_link_msg order;
  int fds[AG_LINK_MAX_FDS];
  int nfds = take_order(link_fd, &order, fds);
  if (nfds < 0) return nfds;
  int *tid = tid_address();
  struct clone_args args = {.flags = CLONE_NEWPID | CLONE_NEWIPC | CLONE_INTO_CGROUP, .exit_signal = SIGCHLD};
  args.cgroup = (uint64_t)fds[FD_CGROUP];
  if (tid) {
    args.flags |= CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
    args.child_tid = (uint64_t)(uintptr_t)tid;
  }
  signal(SIGCHLD, SIG_IGN); /* the kernel reaps children, and orphans that this namespace's first process adopts */
  PyOS_BeforeFork();
  long pid = syscall(SYS_clone3, &args, sizeof args);
  int saved = errno;
  if (pid == 0) {
    join_cgroups(link_fd, &order, fds, nfds);
    become_guest(&order, fds);
    PyOS_AfterFork_Child();
    return order.role != AG_LEAF ? 2 : order.result ? 3 : 1;
  }
  PyOS_AfterFork_Parent();
  for (int i = 0; i < nfds; i++) close(fds[i]);
  return pid < 0 ? answer(link_fd, &order, -saved) : 0;
}

static PyObject *fork_method(PyObject *module, PyObject *link_fd) {
  (void)module;
  long fd = PyLong_AsLong(link_fd);
  return fd == -1 && PyErr_Occurred() ? NULL : PyLong_FromLong(guest_fork((int)fd));
}

/* The largest resident size so far: the module `resource` would be five mappings more, for this alone. */
static PyObject *peak_kb_method(PyObject *module, PyObject *none) {
  (void)module, (void)none;
  struct rusage usage;
  return getrusage(RUSAGE_SELF, &usage) < 0 ? PyErr_SetFromErrno(PyExc_OSError) : PyLong_FromLong(usage.ru_maxrss);
}

/* Returns how many bytes moved. A zygote that was forked has inherited them. */
static PyObject *share_text_method(PyObject *module, PyObject *none) {
  (void)module, (void)none;
  static size_t moved;
  if (moved == 0) moved = text_into_huge_pages((const void *)(uintptr_t)PyOS_BeforeFork);
  return PyLong_FromSize_t(moved);
}

/* The builtin of that name first makes Python's types for syntax trees, some hundred, in case it is given one: 1.3 ms.
 */
static PyObject *compile_method(PyObject *module, PyObject *args) {
  (void)module;
  const char *source, *path;
  if (!PyArg_ParseTuple(args, "yy:compile", &source, &path)) return NULL; /* neither may contain a NUL */
  return Py_CompileString(source, path, Py_file_input);
}

PyMODINIT_FUNC PyInit_libguest(void);

PyMODINIT_FUNC PyInit_libguest(void) {
  static PyMethodDef methods[] = {{"fork", fork_method, METH_O, NULL},
                                  {"peak_kb", peak_kb_method, METH_NOARGS, NULL},
                                  {"share_text", share_text_method, METH_NOARGS, NULL},
                                  {"compile", compile_method, METH_VARARGS, NULL},
                                  {NULL, NULL, 0, NULL}};
  /* Binds what PyOS_AfterFork_Child() calls: looked up in each child, it would take ten pages and 40 us. */
  Py_tss_t *key = PyThread_tss_alloc();
  if (key && PyThread_tss_create(key) == 0) PyThread_tss_delete(key);
  PyThread_tss_free(key);
  static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "libguest", NULL, -1, methods, NULL, NULL, NULL, NULL};
  return PyModule_Create(&definition);
}
