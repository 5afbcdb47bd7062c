/* SPDX-License-Identifier: Apache-2.0
 * AG_SPAWN: a fresh Python in a slot, cloned by the helper itself.
 *
 * Safety: the child runs only the helper's own code until it has dropped all privileges. Its program, arguments and
 * environment are constants. Its root, cgroup and descriptors are the slot's own. */
#include <linux/close_range.h>
#include <linux/sched.h>
#include <linux/securebits.h>

#include "seccomp_profile.h"
#include "verbs/verbs.h"

/* The child's descriptors until its exec, by number. */
enum child_fd { CHILD_LOG = 1, CHILD_SYNC = AG_GUEST_LISTEN_FD + 1, CHILD_ROOT, CHILD_PROC, CHILD_HELPER, CHILD_FDS };

/* Forbids new namespaces below the child's namespaces, because attacks on the kernel use new namespaces most often. The
 * zygote's limit on user namespaces is not lowered, because the helper makes the namespaces of the zygote's children
 * below the zygote's. The zygote itself cannot make one: the kernel refuses it to a process in a changed root. */
static void forbid_namespaces(int proc_fd, unsigned role) {
  static const char *const kinds[] = {"user", "mnt", "net", "cgroup", "time"};
  for (size_t i = role == AG_ZYGOTE; i < sizeof kinds / sizeof *kinds; i++) {
    char path[64];
    snprintf(path, sizeof path, "sys/user/max_%s_namespaces", kinds[i]);
    SCOPED int fd = openat(proc_fd, path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) continue; /* the kernel lacks that kind */
    if (fd < 0 || write(fd, "0", 1) != 1) _exit(AG_ST_GUEST_NS);
  }
}

static void drop_privileges(unsigned role) {
  uint64_t keep = role == AG_ZYGOTE ? CAP(SYS_CHROOT) | CAP(SYS_ADMIN) : 0;
  if (priv_bound(keep) < 0 || prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_KEEP_CAPS) < 0 ||
      setresgid(AG_GUEST_ID, AG_GUEST_ID, AG_GUEST_ID) < 0 || setresuid(AG_GUEST_ID, AG_GUEST_ID, AG_GUEST_ID) < 0 ||
      priv_keep(keep, true) < 0 ||
      (keep && (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_CHROOT, 0, 0) < 0 ||
                prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_ADMIN, 0, 0) < 0)))
    _exit(AG_ST_GUEST_PRIV);
  /* PDEATHSIG is set again, because a change of ids clears it. The kernel kills this child when the helper dies. The
   * processes in the child's pid namespace die with the child. */
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) _exit(AG_ST_GUEST_PRIV);
}

__attribute__((noreturn)) static void child_main(const struct session *s, const struct slot *slot) {
  static const char *const roles[] = {NULL, "leaf", "zygote", "installer"};
  char *const argv[] = {"python3", "-I", "-S", "/runtime/main.py", (char *)(uintptr_t)roles[slot->role], NULL};
  char *const envp[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/tmp", "TMPDIR=/tmp", "LANG=C.UTF-8", NULL};
  sigset_t none;
  char byte;
  if (read(CHILD_SYNC, &byte, 1) != 1) _exit(AG_ST_GUEST_NS); /* the helper has written the id maps */
  forbid_namespaces(CHILD_PROC, slot->role);
  if (sethostname("sandbox", 7) < 0) _exit(AG_ST_GUEST_NS);
  /* The helper's own start forbids core files. A zygote's leaves inherit these limits. The kernel also counts queued
   * signals and message queues of the leaves for their zygote's id. Hundreds of leaves together must not exhaust the
   * limits of this id. */
  if (priv_limit(RLIMIT_NOFILE, 1024, 4096) < 0 || priv_limit(RLIMIT_STACK, 8u << 20, RLIM_INFINITY) < 0 ||
      priv_limit(RLIMIT_SIGPENDING, 256, 256) < 0 || priv_limit(RLIMIT_MEMLOCK, 8u << 20, 8u << 20) < 0 ||
      priv_limit(RLIMIT_MSGQUEUE, 0, 0) < 0)
    _exit(AG_ST_GUEST_PRIV);
  /* /dev/null is opened again, because processes that share an open file also share the flags of the file. */
  if (fchdir(CHILD_ROOT) < 0 || chroot(".") < 0 || chdir("/") < 0 || close(0) < 0 || open("/dev/null", O_RDWR) != 0 ||
      syscall(SYS_close_range, (unsigned)CHILD_SYNC, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
    _exit(AG_ST_GUEST_ROOT);
  setsid();
  umask(022);
  drop_privileges(slot->role);
  signal(SIGPIPE, SIG_DFL);
  sigemptyset(&none);
  if (sigprocmask(SIG_SETMASK, &none, NULL) < 0) _exit(AG_ST_GUEST_PRIV);
  if (s->seccomp && seccomp_install(slot->role, s->network[slot->pool]) < 0) _exit(AG_ST_GUEST_SECCOMP);
  /* The child is confined and has nothing of the caller's. It waits until a start needs it (pre-spawn). */
  if (read(CHILD_SYNC, &byte, 1) != 1) _exit(AG_ST_GUEST_PRIV);
  /* PDEATHSIG does not report a helper that died before it was set. */
  if (poll(&(struct pollfd){.fd = CHILD_HELPER, .events = POLLIN}, 1, 0) != 0) _exit(AG_ST_GUEST_PRIV);
  execve("/usr/bin/python3", argv, envp);
  _exit(AG_ST_GUEST_EXEC);
}

/* The maker of a user namespace is the user whose effective ids the helper has at the clone. The kernel also charges
 * the maker for what it counts by user in the namespace. The maker is therefore the sandbox's id, and not root. The
 * helper keeps its capabilities (priv.c). */
static int set_effective_ids(uid_t uid) {
  return setresgid(-1, uid, -1) < 0 || setresuid(-1, uid, -1) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0 ? -1 : 0;
}

static int bind_staging(struct session *s, const struct slot *slot, const char *staging) {
  if (!name_is_component(staging)) return fault(AG_E_BADREQ, AG_ST_SPAWN, "staging name");
  SCOPED int fd = open_beneath(s->packages_fd, staging, O_RDONLY | O_DIRECTORY);
  if (fd < 0) return fault_name(AG_ST_SPAWN, "staging directory");
  SCOPED int files = open_beneath(fd, "files", O_RDONLY | O_DIRECTORY);
  if (files < 0) return fault_name(AG_ST_SPAWN, "staging files");
  /* rootfs_chown() gives the directory `files` to the installer, which must write there. The caller keeps only the
   * directory above it. */
  if (!callers_own(s, files)) return fault(AG_E_DENIED, AG_ST_SPAWN, "staging files");
  return rootfs_bind(s, slot->name, fd, "files", "host/files", true);
}

/* Makes a guest's channels and clones the guest. */
static int clone_guest(struct session *s, uint32_t id) {
  struct slot *slot = &s->slot[id];
  int sync[2], link[2], pid_fd = -1;
  if (pipe2(sync, O_CLOEXEC) < 0) return fault_sys(AG_ST_SPAWN, "channels");
  SCOPED int wait_end = sync[0], go_end = sync[1];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, link) < 0) return fault_sys(AG_ST_SPAWN, "channels");
  SCOPED int ours = link[0], theirs = link[1];
  SCOPED int root = rootfs_open(s, slot->name);
  if (root < 0 || rootfs_chown(root, slot->id.uid) < 0) return -1;
  SCOPED int cgroup = cgroup_open(s, slot, 0);
  if (cgroup < 0) return -1;
  int tasks[CTL_COUNT], ntasks = cgroup_open_tasks(s, slot, "", tasks);
  if (ntasks < 0) return -1;
  const int fds[CHILD_FDS] = {s->null_fd, slot->guest_fd[1], slot->guest_fd[2], theirs, slot->guest_fd[0], wait_end,
                              root,       s->proc_fd,        s->self_fd};
  struct clone_args args = {
      .flags = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_PIDFD | CLONE_INTO_CGROUP,
      .pidfd = (uint64_t)(uintptr_t)&pid_fd,
      .exit_signal = SIGCHLD,
      .cgroup = (uint64_t)cgroup};
  pid_t pid = set_effective_ids(slot->id.uid) < 0 ? -1 : (pid_t)syscall(SYS_clone3, &args, sizeof args);
  if (pid == 0) {
    /* PDEATHSIG is set first, because a child that is frozen before its exec must end with the helper. Later the child
     * notices the helper's end at CHILD_SYNC. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) _exit(AG_ST_GUEST_PRIV);
    for (int i = 0; i < ntasks; i++)
      if (write(tasks[i], "0", 1) != 1) _exit(AG_ST_GUEST_CGROUP);
    /* Other descriptors are closed at once, because the child may wait for a long time. A copy of another slot's
     * descriptor would keep that slot's channel open, and a copy of the write end of CHILD_SYNC would keep the child
     * waiting. */
    if (!keep_fds(fds, CHILD_FDS)) _exit(AG_ST_GUEST_ROOT);
    child_main(s, slot);
  }
  while (ntasks > 0) close(tasks[--ntasks]);
  for (int tries = 0; set_effective_ids(0) < 0; tries++)
    if (tries == 100) die(AG_ST_SPAWN, "root's ids");
  if (pid < 0) return fault_sys(AG_ST_SPAWN, "clone3");
  slot->link_fd = take_fd(&ours);
  if (slot_started(s, id, pid_fd, pid, true) < 0 || ids_map(s, slot, pid) < 0) return -1;
  /* The user namespaces of the zygote's children are made below this one. */
  if (slot->role == AG_ZYGOTE && (slot->id.ns_fd = ids_open(s, pid)) < 0) return fault_sys(AG_ST_SPAWN, "ns/user");
  if (write(go_end, "", 1) != 1) return fault_sys(AG_ST_SPAWN, "start");
  slot->sync_fd = take_fd(&go_end);
  return slot_wake(slot);
}

int spawn_guest(struct session *s, const struct ag_request *r, uint64_t value[8]) {
  struct slot *slot = &s->slot[r->slot];
  if (slot->state != SLOT_READY) return fault(AG_E_STATE, AG_ST_SPAWN, "slot is not ready");
  if (r->role < AG_LEAF || r->role > AG_INSTALLER) return fault(AG_E_BADREQ, AG_ST_SPAWN, "role");
  if ((r->role == AG_INSTALLER) != (slot->pool == AG_POOL_INSTALL)) return fault(AG_E_BADREQ, AG_ST_SPAWN, "pool");
  if (rootfs_bind_code(s, slot->name, r->name, r->role == AG_INSTALLER ? 1 : 2) < 0) return -1;
  slot->role = r->role;
  slot->source = 0;
  if (ids_assign(s, slot) < 0 || (r->role == AG_INSTALLER && bind_staging(s, slot, r->name[1]) < 0)) return -1;
  slot->park = r->flags & AG_F_PARK;
  if (clone_guest(s, r->slot) < 0 || (!slot->park && slot_go(s, r->slot, NULL, 0) < 0)) {
    if (slot->pid) slot_fail(s, r->slot);
    return -1;
  }
  value[0] = (uint64_t)slot->pid;
  return 0;
}
