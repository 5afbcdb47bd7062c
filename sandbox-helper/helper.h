/* SPDX-License-Identifier: Apache-2.0
 *
 * Theory of operation
 *
 * sandbox-helper is the only privileged part of Argyle. One is started per worker (setuid root, or
 * exec'ed by root) over a socket and a pipe, and lives exactly as long as the worker holds them.
 *
 *   process          user               privileges                                      sees
 *   worker           caller             none                                            host
 *   helper           root               a reduced capability set, no_new_privs          own mount namespace
 *   remover          root               CAP_DAC_OVERRIDE, CAP_FOWNER                    same, one job, then exits
 *   unborn guest     root, none of      all inside its user namespace, none outside;    same as the helper
 *                    the host's powers  runs the helper's own code, and waits
 *   fresh guest      sandbox uid        none; user/pid/ipc/uts namespaces, seccomp      its slot's root
 *   zygote           sandbox uid        SYS_CHROOT+SYS_ADMIN inside its user namespace  its slot's root
 *   forked guest     sandbox uid        none; pid/ipc namespaces, seccomp twice         its slot's root
 *
 * Start: channels are checked, privileges and environment are cleaned, only then anything is parsed
 * (priv.c, config.c). HELLO opens the caller's directories below configured roots and moves the
 * helper into a mount namespace whose root is an empty tmpfs (rootfs.c): what it mounts exists
 * nowhere else and dies with it. Each slot is a directory in that tmpfs, a cgroup and a scratch
 * tmpfs, all under one random name (slot.c). Guests are cloned by the helper (spawn.c) or, on its
 * order, by a zygote (zygote_link.c). A guest's pid namespace is nested in its zygote's and fresh
 * guests die with the helper, so no death leaves a process; cgroups left by a killed helper are
 * removed by the next HELLO of the same name (cgroup.c).
 *
 * Every function that can fail returns 0 (or a descriptor) or -1 with the fault recorded by fault().
 */
#ifndef ARGYLE_HELPER_H
#define ARGYLE_HELPER_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol.h"

#define MAX_ROOTS 16
#define CG_NAME 40
#define CAP(name) (1ull << CAP_##name)

struct config {
  unsigned nroots;
  char root[MAX_ROOTS][AG_NAME_MAX];
  char guest[AG_NAME_MAX];
  char cgroup_root[AG_NAME_MAX]; /* below the cgroup mounts; "" is their top */
  uid_t sandbox_uid;
  gid_t sandbox_gid;
  gid_t caller_gid; /* 0: only root may call */
};

struct fault {
  int code;
  int sys_errno;
  unsigned stage;
  char detail[32];
};

enum controller { CTL_MEMORY, CTL_PIDS, CTL_CPU, CTL_COUNT };

/* One cgroup in each v1 hierarchy, all of one name. */
struct v1_set {
  char name[CG_NAME];
  char zygote[CG_NAME]; /* name of the slot whose zygote may bring processes in; "": none ever could */
  uint64_t limits[8];   /* what they are set to, by enum ag_limit; 0: not limited */
  bool unsure;          /* some could not be set */
};

enum slot_state { SLOT_FREE, SLOT_READY, SLOT_FORKING, SLOT_PARKED, SLOT_RUNNING, SLOT_DEAD, SLOT_DESTROYING };

struct slot {
  enum slot_state state;
  unsigned role, pool;
  char name[CG_NAME]; /* of its directory and its v2 cgroup */
  struct v1_set v1;
  int listen_fd, log_fd, link_fd, pid_fd;
  int sync_fd; /* a fresh guest waits for a byte here before it becomes anything */
  pid_t pid;
  bool own_child;
  bool park;         /* leave it waiting for AG_GO */
  bool kill_waits;   /* AG_KILL is answered when the cgroup is empty */
  uint64_t wait_seq; /* of the request that waits for this slot (fork, kill or destroy) */
  uint32_t source;   /* fork: the zygote's slot */
  uint64_t since_ms; /* when the wait began */
};

struct pool {
  int v2_fd;            /* detached mount whose root is the pool's cgroup: ".." ends there */
  int v1_fd[CTL_COUNT]; /* -1 where the controller belongs to v2 */
};

struct session {
  struct config config;
  uid_t caller_uid;
  gid_t caller_gid;
  bool greeted, seccomp;
  unsigned network[3]; /* by enum ag_pool; 0 until AG_NETWORK */
  int net_map[3];      /* the same: prefixes of AG_RULE, until AG_NETWORK; 0 or -1: none */
  int epoll_fd, self_fd, proc_fd, code_fd, packages_fd, base_fd, slots_fd, null_fd;
  int cg_parent_v2, cg_parent_v1[CTL_COUNT]; /* where <name> itself stands */
  char cg_name[AG_NAME_MAX];
  int cg_top_v2;       /* locked while this helper lives */
  struct pool pool[3]; /* by enum ag_pool */
  struct slot slot[AG_MAX_SLOTS + 1];
  unsigned busy; /* slots that wait for a cgroup to become empty or a zygote to answer */
};

/* A descriptor that is closed, errno kept, when its variable goes out of scope. take_fd() moves it out. */
#define SCOPED __attribute__((cleanup(close_scoped)))
void close_scoped(int *fd);
int take_fd(int *fd);

/* diag.c */
int fault(int code, unsigned stage, const char *detail);
int fault_sys(unsigned stage, const char *detail); /* AG_E_SYS with errno */
const struct fault *last_fault(void);
void die(unsigned stage, const char *detail) __attribute__((noreturn));
extern bool events_broken; /* the worker does not take its completions any more */
void reply(uint64_t seq, uint32_t slot, int result, const uint64_t value[8]);
void event_exit(uint32_t slot, uint64_t status, uint64_t oom_kills, uint64_t pid, uint64_t pids_refused);
uint64_t now_ms(void);

/* priv.c */
void priv_start(struct session *s);
int priv_limit(unsigned what, rlim_t soft, rlim_t hard);
int priv_bound(uint64_t mask);
int priv_keep(uint64_t mask, bool inheritable);
void priv_drop_helper_caps(void);
void priv_check_caller(const struct session *s);

/* config.c */
int config_parse(char *text, struct config *config);
int config_load(const char *path, bool trusted_caller, struct config *config);

/* names.c */
bool name_is_component(const char *name);
int fault_name(unsigned stage, const char *name);
int open_resolved(int dir_fd, const char *path, int flags, uint64_t resolve);
int open_beneath(int dir_fd, const char *path, int flags);
bool is_unix_socket(int fd, int type);
bool is_pipes_write_end(int fd);
int open_owned_dir(struct session *s, uint64_t root, const char *path);
bool callers_own(struct session *s, int fd);
int random_name(char name[CG_NAME]);

/* rootfs.c */
int rootfs_unshare(void);
int rootfs_enter(struct session *s, int worker_fd, int packages_fd, int base_fd, bool host_usr);
int rootfs_make(struct session *s, const char *name, uint64_t scratch_bytes);
int rootfs_open(struct session *s, const char *name);
int rootfs_bind(struct session *s, const char *slot_name, int area_fd, const char *what, const char *where,
                bool writable);
int rootfs_remove(struct session *s, const char *name);

/* cgroup.c */
extern const char *const pool_name[]; /* by enum ag_pool */
int cgroup_start(struct session *s, const char *name);
void cgroup_stop(struct session *s);

/* cgslot.c */
int cgroup_make(struct session *s, struct slot *slot, const uint64_t limits[8]);
int cgroup_limits(struct session *s, struct slot *slot, const uint64_t limits[8]);
int cgroup_open(struct session *s, unsigned pool, const char *name);
int cgroup_join_v1(struct session *s, const struct slot *slot);
int cgroup_tasks(struct session *s, struct slot *slot, const char *zygote, int fds[CTL_COUNT]);
bool cgroup_has_joined(struct session *s, const struct slot *slot);
pid_t cgroup_first_pid(struct session *s, unsigned pool, const char *name);
int cgroup_freeze(struct session *s, unsigned pool, const char *name, bool frozen);
int cgroup_kill(struct session *s, unsigned pool, const char *name);
bool cgroup_populated(struct session *s, unsigned pool, const char *name);
int cgroup_remove(struct session *s, struct slot *slot, bool whole);
uint64_t cgroup_pids_refused(struct session *s, const struct slot *slot);
int cgroup_pressure(struct session *s, const struct slot *slot, uint64_t value[8]);
int cgroup_usage(struct session *s, const struct slot *slot, uint64_t value[8]);
uint64_t cgroup_oom_kills(struct session *s, const struct slot *slot);

/* net.c */
int net_rule(struct session *s, unsigned pool, uint32_t passes, const uint64_t word[4], uint32_t bits);
int net_apply(struct session *s, unsigned mode, unsigned pool, const uint64_t endpoint[], unsigned n);

/* slot.c */
int slot_make(struct session *s, const struct ag_request *r, int fds[], unsigned nfds);
int slot_started(struct session *s, uint32_t id, int pid_fd, pid_t pid, bool own_child);
void slot_answer(struct session *s, uint32_t id, int result, const uint64_t value[8]);
void slot_wait(struct session *s, uint32_t id, uint64_t seq);
int slot_go(struct session *s, uint32_t id, const char *code);
int slot_wake(struct slot *slot);
int slot_kill(struct session *s, uint32_t id, uint64_t seq);
int slot_destroy(struct session *s, uint32_t id, uint64_t seq);
void slot_fail(struct session *s, uint32_t id);
void slot_process_ended(struct session *s, uint32_t id);
void slots_tick(struct session *s);

/* spawn.c */
int spawn_guest(struct session *s, const struct ag_request *r, uint64_t value[8]);

/* zygote_link.c */
int zygote_fork(struct session *s, const struct ag_request *r);
void zygote_answered(struct session *s, uint32_t id);
void zygote_lost(struct session *s, uint32_t id);

/* tree.c */
int tree_remove_job(struct session *s, uint64_t seq, uint64_t area, const char *name);

/* jobs.c */
#define JOB_FDS 16
typedef void job_end(struct session *s, uint64_t tag, int status);
bool keep_fds(const int fds[], int nfds);
int job_fork(struct session *s, const int fds[], int nfds, uint64_t caps, job_end *ended, uint64_t tag);
void job_ended(struct session *s, uint32_t job);

/* helper.c */
enum watch { WATCH_CONTROL = 1, WATCH_PID = 2, WATCH_LINK = 3, WATCH_JOB = 4, WATCH_SIGNAL = 5 };
int watch_fd(struct session *s, int fd, enum watch kind, uint32_t id);
void unwatch_fd(struct session *s, int *fd);
void handle_request(struct session *s, const struct ag_request *r, size_t size, int fds[], unsigned nfds);

#endif
