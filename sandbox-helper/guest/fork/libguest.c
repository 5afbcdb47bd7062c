/* SPDX-License-Identifier: Apache-2.0
 * The zygote's fork, as a module of Python's stable ABI: one build serves any Python from 3.7 on. With ctypes each
 * child would copy 15 more mappings and some 20 more pages (docs/adr/0006-cold-start.md).
 *
 * One clone3 puts the child into the slot's cgroup and into its own pid and IPC namespaces. The child takes its own
 * ids, enters the slot's root, closes every descriptor that is not its own, drops its privileges (a leaf drops all) and
 * returns into Python. There it waits for GO, so no handler code runs before the helper has admitted the child. */
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

#include "hugetext.h"
#include "leaf_filter.h"
#include "protocol.h"

enum order_fd { FD_ROOT, FD_CGROUP, FD_LISTEN, FD_LOG, FD_ERRORS, FD_LINK, FD_USER };

/* Returns the number of descriptors, or -errno when the link is unusable. */
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

/* Keeps only the slot's descriptors, and gives them the numbers that every guest uses. Both sockets become blocking and
 * close-on-exec. In a fresh guest, channel.protect() does the same. */
static void keep_own_descriptors(const int fds[]) {
  int link = fcntl(fds[FD_LINK], F_DUPFD_CLOEXEC, 20), listen = fcntl(fds[FD_LISTEN], F_DUPFD_CLOEXEC, 20);
  int log = fcntl(fds[FD_LOG], F_DUPFD_CLOEXEC, 20), errors = fcntl(fds[FD_ERRORS], F_DUPFD_CLOEXEC, 20);
  int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (link < 0 || listen < 0 || log < 0 || errors < 0 || null < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 ||
      dup2(errors, 2) < 0 || dup3(link, AG_GUEST_LINK_FD, O_CLOEXEC) < 0 ||
      dup3(listen, AG_GUEST_LISTEN_FD, O_CLOEXEC) < 0 || fcntl(AG_GUEST_LINK_FD, F_SETFL, 0) < 0 ||
      fcntl(AG_GUEST_LISTEN_FD, F_SETFL, 0) < 0)
    fail(AG_ST_GUEST_ROOT);
  if (syscall(SYS_close_range, 5u, ~0u, 0u) < 0) fail(AG_ST_GUEST_ROOT);
}

/* Drops all capabilities except `keep`. A process that enters a user namespace has all capabilities in that namespace
 * and in its bounding set. */
static void drop_capabilities(uint32_t keep) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct sets[2] = {{keep, keep, 0}, {0, 0, 0}};
  int cap = 0;
  while ((cap < 32 && keep >> cap & 1) || prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0) cap++;
  /* EINVAL: the kernel has no capability of this number. All lower ones have been dropped. */
  if (errno != EINVAL || cap <= CAP_AUDIT_READ) fail(AG_ST_GUEST_PRIV);
  if (syscall(SYS_capset, &header, sets) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) fail(AG_ST_GUEST_PRIV);
}

static int answer(int link_fd, const struct ag_link_msg *order, int result) {
  struct ag_link_msg m = {.op = AG_LINK_FORKED, .role = order->role, .seq = order->seq, .result = result};
  return send(link_fd, &m, sizeof m, MSG_NOSIGNAL) == (ssize_t)sizeof m ? 0 : -ENOTCONN;
}

/* The child's first step. The child joins its v1 cgroups, so that they are charged for all memory that it uses later.
 * It writes "0", which stands for the calling thread. The child has no other thread. The child then takes its own ids,
 * and sends the answer to the order. */
static void take_identity(int link_fd, const struct ag_link_msg *order, const int fds[], int nfds) {
  bool ok = true;
  for (int i = AG_LINK_FORK_FDS; i < nfds; i++) ok = ok && write(fds[i], "0", 1) == 1;
  ok = ok && setns(fds[FD_USER], CLONE_NEWUSER) == 0 &&
       syscall(SYS_setresgid, AG_GUEST_ID, AG_GUEST_ID, AG_GUEST_ID) == 0 &&
       syscall(SYS_setresuid, AG_GUEST_ID, AG_GUEST_ID, AG_GUEST_ID) == 0;
  if (answer(link_fd, order, ok ? 0 : -errno) < 0 || !ok) fail(AG_ST_GUEST_CGROUP);
}

static void enter_sandbox(const struct ag_link_msg *order, const int fds[]) {
  sigset_t none;
  if (fchdir(fds[FD_ROOT]) < 0 || chroot(".") < 0 || chdir("/") < 0) fail(AG_ST_GUEST_ROOT);
  keep_own_descriptors(fds);
  setsid();
  signal(SIGCHLD, SIG_DFL);
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  drop_capabilities(order->role == AG_LEAF ? 0 : 1u << CAP_SYS_CHROOT | 1u << CAP_SYS_ADMIN);
  if (order->role == AG_LEAF && prctl(PR_GET_SECCOMP) == SECCOMP_MODE_FILTER && seccomp_install_fork() < 0)
    fail(AG_ST_GUEST_SECCOMP);
}

/* glibc keeps the thread's id in its thread descriptor and uses it in raise() and mutexes. The kernel clears the id at
 * the thread's exit, so the kernel can tell the id's address. After a raw clone3 the id must be updated at this
 * address. */
static int *tid_address(void) {
  int *address = NULL;
#ifdef PR_GET_TID_ADDRESS
  if (prctl(PR_GET_TID_ADDRESS, &address) < 0) address = NULL;
#endif
  return address;
}

/* Executes the order that waits on link_fd. Returns 0 in the zygote; 1 in a new leaf, 2 in a new zygote, 3 in a leaf
 * that stays parked; -errno when the zygote cannot go on (-ENOTCONN: the helper is gone). */
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
  signal(SIGCHLD, SIG_IGN); /* the kernel reaps this process's children and orphans */
  PyOS_BeforeFork();
  long pid = syscall(SYS_clone3, &args, sizeof args);
  int saved = errno;
  if (pid == 0) {
    take_identity(link_fd, &order, fds, nfds);
    enter_sandbox(&order, fds);
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

/* The peak resident size. The module `resource` would add five mappings for this alone. */
static PyObject *peak_kb_method(PyObject *module, PyObject *none) {
  (void)module, (void)none;
  struct rusage usage;
  return getrusage(RUSAGE_SELF, &usage) < 0 ? PyErr_SetFromErrno(PyExc_OSError) : PyLong_FromLong(usage.ru_maxrss);
}

/* Returns the number of moved bytes. A forked zygote inherits the copy. */
static PyObject *share_text_method(PyObject *module, PyObject *none) {
  (void)module, (void)none;
  static size_t moved;
  if (moved == 0) moved = text_into_huge_pages((const void *)(uintptr_t)PyOS_BeforeFork);
  return PyLong_FromSize_t(moved);
}

/* The builtin compile() first makes some hundred types for syntax trees, in case its argument is one: 1.3 ms. */
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
  /* Binds symbols that PyOS_AfterFork_Child() calls. Binding them in each child would take ten pages and 40 µs. */
  Py_tss_t *key = PyThread_tss_alloc();
  if (key && PyThread_tss_create(key) == 0) PyThread_tss_delete(key);
  PyThread_tss_free(key);
  static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "libguest", NULL, -1, methods, NULL, NULL, NULL, NULL};
  return PyModule_Create(&definition);
}
