/* SPDX-License-Identifier: Apache-2.0
 * The first steps of a setuid program: check and reset all inherited state, then drop unneeded privileges. */
#include <grp.h>
#include <linux/securebits.h>

#include "mech/mech.h"

/* Descriptors that the helper needs for a few slots. A caller whose hard limit is lower is refused. */
#define MIN_OPEN_FILES 256

static void check_channels(void) {
  for (int fd = 0; fd <= 2; fd++) /* a later open() would take the number of a closed descriptor */
    if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_WRONLY : O_RDONLY) != fd) _exit(AG_ST_USAGE);
  if (!is_unix_socket(AG_CONTROL_FD, SOCK_SEQPACKET)) die(AG_ST_USAGE, "descriptor 3 is not a seqpacket socket");
  if (!is_pipes_write_end(AG_EVENTS_FD)) die(AG_ST_USAGE, "descriptor 4 is not the write end of a pipe");
  /* The pipe is blocking: the helper waits while the pipe is full. This harms only a caller that does not read its
   * pipe. */
  if (fcntl(AG_EVENTS_FD, F_SETFL, 0) < 0 || fcntl(AG_CONTROL_FD, F_SETFD, FD_CLOEXEC) < 0 ||
      fcntl(AG_EVENTS_FD, F_SETFD, FD_CLOEXEC) < 0)
    die(AG_ST_USAGE, "fcntl");
  if (syscall(SYS_close_range, 5u, ~0u, 0u) < 0) die(AG_ST_USAGE, "close_range");
}

static void clean_signals(void) {
  sigset_t all;
  for (int sig = 1; sig < NSIG; sig++) signal(sig, SIG_DFL); /* fails for KILL, STOP and libc's own, without harm */
  signal(SIGPIPE, SIG_IGN);
  sigfillset(&all);
  if (sigprocmask(SIG_SETMASK, &all, NULL) < 0) die(AG_ST_PRIV, "sigprocmask");
}

/* Sets a limit, never above the hard limit that the caller left. Returns 0, or -1 with errno. */
int priv_limit(unsigned what, rlim_t soft, rlim_t hard) {
  struct rlimit l;
  if (getrlimit(what, &l) < 0) return -1;
  if (hard < l.rlim_max) l.rlim_max = hard;
  l.rlim_cur = soft < l.rlim_max ? soft : l.rlim_max;
  return setrlimit(what, &l);
}

static void clean_limits(void) {
  static const unsigned raised[] = {RLIMIT_NOFILE, RLIMIT_FSIZE, RLIMIT_DATA, RLIMIT_AS,
                                    RLIMIT_STACK,  RLIMIT_CPU,   RLIMIT_NPROC};
  struct rlimit l;
  /* 1 byte, not 0: a limit of 0 stops core files, but not the program that core_pattern may name. */
  if (setrlimit(RLIMIT_CORE, &(struct rlimit){1, 1}) < 0) die(AG_ST_PRIV, "RLIMIT_CORE");
  /* The kernel applies these limits of the maker of a user namespace to all processes of the namespace together. The
   * helper is the maker. Each sandbox gets a lower limit of its own. The calls may fail: root in a container may lack
   * the right to raise a limit. */
  (void)setrlimit(RLIMIT_SIGPENDING, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
  (void)setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
  /* A caller may be allowed real-time scheduling; a sandbox would inherit it. */
  if (priv_limit(RLIMIT_RTPRIO, 0, 0) < 0 || priv_limit(RLIMIT_NICE, 0, 0) < 0) die(AG_ST_PRIV, "setrlimit");
  for (size_t i = 0; i < sizeof raised / sizeof *raised; i++)
    if (priv_limit(raised[i], RLIM_INFINITY, RLIM_INFINITY) < 0) die(AG_ST_PRIV, "setrlimit");
  if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur < MIN_OPEN_FILES) die(AG_ST_PRIV, "RLIMIT_NOFILE is too low");
}

/* Takes root's ids and sets no_new_privs before anything is parsed. */
void priv_start(struct session *s) {
  errno = 0;
  check_channels();
  clearenv();
  umask(077);
  clean_signals();
  errno = 0;
  if (geteuid() != 0) die(AG_ST_PRIV, "not root: the setuid bit is missing");
  s->caller_uid = getuid();
  s->caller_gid = getgid();
  /* The real ids are set, too, so that the caller cannot signal or trace the helper. */
  if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0) die(AG_ST_PRIV, "setresuid");
  if (prctl(PR_SET_DUMPABLE, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) die(AG_ST_PRIV, "prctl");
  clean_limits();
  if (chdir("/") < 0) die(AG_ST_PRIV, "chdir /");
}

/* Mode 4750 keeps other users out. This check holds even where the mode is missing. */
void priv_check_caller(const struct session *s) {
  gid_t groups[1024];
  errno = 0;
  if (s->caller_uid != 0) {
    if (!s->config.caller_gid) die(AG_ST_PRIV, "helper.conf names no caller_gid, so only root may call");
    int n = getgroups(sizeof groups / sizeof *groups, groups);
    if (n < 0) die(AG_ST_PRIV, "getgroups");
    bool in_group = s->caller_gid == s->config.caller_gid;
    for (int i = 0; i < n; i++) in_group |= groups[i] == s->config.caller_gid;
    if (!in_group) die(AG_ST_PRIV, "the caller is not in the configured group");
    if (s->caller_uid - s->config.first_uid < s->config.uids) die(AG_ST_PRIV, "the caller is a sandbox's user");
  }
  if (setgroups(0, NULL) < 0) die(AG_ST_PRIV, "setgroups");
}

/* Drops all capabilities except those in `mask` from the bounding set. Returns 0, or -1 with errno. */
int priv_bound(uint64_t mask) {
  for (unsigned cap = 0; cap < 64; cap++)
    if (!(mask >> cap & 1) && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1 && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
      return -1;
  return 0;
}

/* Keeps only the permitted capabilities in `mask`, and makes them effective. With `inheritable`, a zygote keeps them at
 * its exec. Returns 0, or -1 with errno. */
int priv_keep(uint64_t mask, bool inheritable) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2];
  if (syscall(SYS_capget, &header, data) < 0) return -1;
  for (int i = 0; i < 2; i++) {
    data[i].permitted &= (uint32_t)(mask >> (32 * i));
    data[i].effective = data[i].permitted;
    data[i].inheritable = inheritable ? data[i].permitted : 0;
  }
  return (int)syscall(SYS_capset, &header, data);
}

/* Keeps the capabilities that the helper needs from now on. */
void priv_drop_helper_caps(void) {
  const uint64_t mask = CAP(CHOWN) | CAP(DAC_OVERRIDE) | CAP(FOWNER) | CAP(KILL) | CAP(SETUID) | CAP(SETGID) |
                        CAP(SETPCAP) | CAP(SYS_ADMIN) | CAP(SYS_PTRACE) | CAP(SYS_CHROOT) | CAP(NET_ADMIN) | CAP(BPF) |
                        CAP(MKNOD);
  /* With this bit, the capabilities stay when the effective uid changes for a clone (spawn.c). */
  if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) < 0 || priv_bound(mask) < 0 || priv_keep(mask, false) < 0)
    die(AG_ST_PRIV, "capabilities");
}
