/* SPDX-License-Identifier: Apache-2.0
 * AG_SPAWN: a fresh Python in a slot, cloned by the helper itself.
 *
 * Safety: the child runs no byte of the caller's choosing before it has lost everything. Its program,
 * arguments and environment are constants; its root, cgroup and descriptors are the slot's own. */
#include <linux/close_range.h>
#include <linux/sched.h>
#include <linux/securebits.h>
#include <poll.h>
#include <sched.h>

#include "helper.h"
#include "seccomp_profile.h"

#define GUEST_ID 1000 /* inside every sandbox's user namespace; not 0, so no exec ever gains anything */

/* What a child holds until its exec, by number. */
enum born_fd { BORN_LOG = 1, BORN_SYNC = AG_GUEST_LISTEN_FD + 1, BORN_ROOT, BORN_PROC, BORN_HELPER, BORN_FDS };

/* No namespace below this one: takes the kernel's most used attack surface away from zygotes too. */
static void forbid_namespaces(int proc_fd) {
  static const char *const kinds[] = {"user", "mnt", "net", "cgroup", "time"};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
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
      setresgid(GUEST_ID, GUEST_ID, GUEST_ID) < 0 || setresuid(GUEST_ID, GUEST_ID, GUEST_ID) < 0 ||
      priv_keep(keep, true) < 0 ||
      (keep && (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_CHROOT, 0, 0) < 0 ||
                prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_ADMIN, 0, 0) < 0)))
    _exit(AG_ST_GUEST_PRIV);
  /* Again after the ids, which clear it: a killed helper takes its children along, and they theirs. */
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) _exit(AG_ST_GUEST_PRIV);
}

__attribute__((noreturn)) static void be_born(const struct session *s, const struct slot *slot) {
  static const char *const roles[] = {NULL, "leaf", "zygote", "installer"};
  char *const argv[] = {"python3", "-I", "-S", "/runtime/main.py", (char *)(uintptr_t)roles[slot->role], NULL};
  char *const envp[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/tmp", "TMPDIR=/tmp", "LANG=C.UTF-8", NULL};
  sigset_t none;
  char byte;
  if (read(BORN_SYNC, &byte, 1) != 1) _exit(AG_ST_GUEST_NS); /* maps written */
  forbid_namespaces(BORN_PROC);
  if (sethostname("sandbox", 7) < 0) _exit(AG_ST_GUEST_NS);
  /* Core files are forbidden since the helper's own start. Queued signals and message queues are counted for root
   * too, who made the user namespace: hundreds of sandboxes together must not use up what it has. */
  if (priv_limit(RLIMIT_NOFILE, 1024, 4096) < 0 || priv_limit(RLIMIT_STACK, 8u << 20, RLIM_INFINITY) < 0 ||
      priv_limit(RLIMIT_SIGPENDING, 256, 256) < 0 || priv_limit(RLIMIT_MSGQUEUE, 0, 0) < 0)
    _exit(AG_ST_GUEST_PRIV);
  if (fchdir(BORN_ROOT) < 0 || chroot(".") < 0 || chdir("/") < 0 ||
      syscall(SYS_close_range, (unsigned)BORN_SYNC, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
    _exit(AG_ST_GUEST_ROOT);
  setsid();
  umask(022);
  drop_privileges(slot->role);
  signal(SIGPIPE, SIG_DFL);
  sigemptyset(&none);
  if (sigprocmask(SIG_SETMASK, &none, NULL) < 0) _exit(AG_ST_GUEST_PRIV);
  if (s->seccomp && seccomp_install(slot->role, s->network[slot->pool]) < 0) _exit(AG_ST_GUEST_SECCOMP);
  /* Confined, and with nothing of a caller's: from here on there is only the wait until it is wanted. */
  if (read(BORN_SYNC, &byte, 1) != 1) _exit(AG_ST_GUEST_PRIV);
  /* A helper that died before PDEATHSIG was set would never be noticed. */
  if (poll(&(struct pollfd){.fd = BORN_HELPER, .events = POLLIN}, 1, 0) != 0) _exit(AG_ST_GUEST_PRIV);
  execve("/usr/bin/python3", argv, envp);
  _exit(AG_ST_GUEST_EXEC);
}

static int write_map(struct session *s, pid_t pid, const char *file, unsigned outside) {
  char path[64], text[64];
  snprintf(path, sizeof path, "%d/%s", (int)pid, file);
  int n = outside ? snprintf(text, sizeof text, "%u %u 1", GUEST_ID, outside) : snprintf(text, sizeof text, "deny");
  SCOPED int fd = openat(s->proc_fd, path, O_WRONLY | O_CLOEXEC);
  return fd >= 0 && write(fd, text, (size_t)n) == n ? 0 : fault_sys(AG_ST_SPAWN, file);
}

/* While the child waits. */
static int write_maps(struct session *s, pid_t pid) {
  if (write_map(s, pid, "setgroups", 0) < 0 || write_map(s, pid, "uid_map", s->config.sandbox_uid) < 0) return -1;
  return write_map(s, pid, "gid_map", s->config.sandbox_gid);
}

static int bind_staging(struct session *s, const struct slot *slot, const char *staging) {
  if (!name_is_component(staging)) return fault(AG_E_BADREQ, AG_ST_SPAWN, "staging name");
  SCOPED int fd = open_beneath(s->packages_fd, staging, O_RDONLY | O_DIRECTORY);
  if (fd < 0) return fault_name(AG_ST_SPAWN, "staging directory");
  SCOPED int files = open_beneath(fd, "files", O_RDONLY | O_DIRECTORY);
  if (files < 0) return fault_name(AG_ST_SPAWN, "staging files");
  /* The installer must write there: it is given away, the caller keeps only the directory above. */
  if (!callers_own(s, files)) return fault(AG_E_DENIED, AG_ST_SPAWN, "staging files");
  if (fchown(files, s->config.sandbox_uid, s->config.sandbox_gid) < 0) return fault_sys(AG_ST_SPAWN, "staging files");
  return rootfs_bind(s, slot->name, fd, "files", "host/files", true);
}

/* Makes the channels of a guest and the guest: 0 when it is on its way. */
static int start(struct session *s, uint32_t id) {
  struct slot *slot = &s->slot[id];
  int sync[2], link[2], pid_fd = -1;
  if (pipe2(sync, O_CLOEXEC) < 0) return fault_sys(AG_ST_SPAWN, "channels");
  SCOPED int wait_end = sync[0], go_end = sync[1];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, link) < 0) return fault_sys(AG_ST_SPAWN, "channels");
  SCOPED int ours = link[0], theirs = link[1];
  SCOPED int root = rootfs_open(s, slot->name);
  SCOPED int cgroup = root < 0 ? -1 : cgroup_open(s, slot->pool, slot->name);
  if (cgroup < 0) return -1;
  const int fds[BORN_FDS] = {s->null_fd, slot->log_fd, slot->log_fd, theirs,    slot->listen_fd,
                             wait_end,   root,         s->proc_fd,   s->self_fd};
  struct clone_args args = {
      .flags = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_PIDFD | CLONE_INTO_CGROUP,
      .pidfd = (uint64_t)(uintptr_t)&pid_fd,
      .exit_signal = SIGCHLD,
      .cgroup = (uint64_t)cgroup};
  pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
  if (pid < 0) return fault_sys(AG_ST_SPAWN, "clone3");
  if (pid == 0) {
    /* First: a child that is frozen before its exec must end with the helper, whose end it sees else at BORN_SYNC. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) _exit(AG_ST_GUEST_PRIV);
    if (cgroup_join_v1(s, slot) < 0) _exit(AG_ST_GUEST_CGROUP);
    /* At once: it may wait for long, and must not keep what is another's alive meanwhile, nor its own wait. */
    if (!keep_fds(fds, BORN_FDS)) _exit(AG_ST_GUEST_ROOT);
    be_born(s, slot);
  }
  slot->link_fd = take_fd(&ours);
  if (slot_started(s, id, pid_fd, pid, true) < 0 || write_maps(s, pid) < 0) return -1;
  if (write(go_end, "", 1) != 1) return fault_sys(AG_ST_SPAWN, "start");
  slot->sync_fd = take_fd(&go_end);
  return slot_wake(slot);
}

int spawn_guest(struct session *s, const struct ag_request *r, uint64_t value[8]) {
  struct slot *slot = &s->slot[r->slot];
  if (slot->state != SLOT_READY) return fault(AG_E_STATE, AG_ST_SPAWN, "slot is not ready");
  if (r->role < AG_LEAF || r->role > AG_INSTALLER) return fault(AG_E_BADREQ, AG_ST_SPAWN, "role");
  if ((r->role == AG_INSTALLER) != (slot->pool == AG_POOL_INSTALL)) return fault(AG_E_BADREQ, AG_ST_SPAWN, "pool");
  if (r->name[0][0] && rootfs_bind(s, slot->name, s->code_fd, r->name[0], "handler", false) < 0) return -1;
  if (r->role == AG_INSTALLER && bind_staging(s, slot, r->name[1]) < 0) return -1;
  slot->role = r->role;
  slot->park = r->flags & AG_F_PARK;
  if (start(s, r->slot) < 0 || (!slot->park && slot_go(s, r->slot, "") < 0)) {
    if (slot->pid) slot_fail(s, r->slot);
    return -1;
  }
  value[0] = (uint64_t)slot->pid;
  return 0;
}
