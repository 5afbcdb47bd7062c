/* SPDX-License-Identifier: Apache-2.0
 * The helper's tables, and the functions that call nothing above them. */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
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
#define AG_UIDS 8192u          /* the fewest ids of a helper: twice the number of slots */
#define AG_UIDS_MAX (1u << 22) /* the most ids of a helper */
#define BLOCK_KINDS 9          /* leaves, and blocks of eight sizes */
#define IDS_AHEAD 8
#define CAP(name) (1ull << CAP_##name)

struct config {
  unsigned nroots;
  char root[MAX_ROOTS][AG_NAME_MAX];
  char guest[AG_NAME_MAX];
  char cgroup_root[AG_NAME_MAX]; /* relative to the cgroup mounts; "" is their top */
  uid_t first_uid;               /* the first of `uids` user and group ids, for the sandboxes of all helpers */
  unsigned uids;
  gid_t caller_gid; /* 0: only root may call */
};

enum controller { CTL_MEMORY, CTL_PIDS, CTL_CPU, CTL_COUNT };

/* The ids of one zygote and of all that is forked below it (ids.c). */
struct block {
  struct block *above; /* the block that contains this one */
  uid_t first;         /* the zygote's own id */
  unsigned size;
  unsigned users;             /* 0: the block does not exist */
  unsigned turn[BLOCK_KINDS]; /* last taken index: of a leaf's id, and of a block of each size */
};

/* The user that a sandbox runs as. */
struct identity {
  uid_t uid;           /* 0: none yet */
  int ns_fd;           /* the zygote's own user namespace, or the one that a zygote's child enters */
  struct block *block; /* a zygote's own block; for other sandboxes, the smallest block with uid */
};

/* One cgroup in each v1 hierarchy, all with the same name. */
struct v1_set {
  char name[CG_NAME];
  char zygote[CG_NAME];               /* slot name of the zygote that can bring processes in; "": none */
  uint64_t limits[AG_LIM_WEIGHT + 1]; /* by enum ag_limit; 0: not limited; ~0: unknown */
};

enum slot_state { SLOT_FREE, SLOT_READY, SLOT_FORKING, SLOT_PARKED, SLOT_RUNNING, SLOT_DEAD, SLOT_DESTROYING };

struct slot {
  enum slot_state state;
  unsigned role, pool;
  char name[CG_NAME]; /* of the slot's directory and v2 cgroup */
  struct v1_set v1;
  struct identity id, ahead[IDS_AHEAD]; /* ahead: identities of a zygote's next children */
  unsigned nahead;
  int guest_fd[3], link_fd, pid_fd; /* guest_fd: listening socket, log, errors */
  int sync_fd;                      /* a byte here lets a fresh guest go on */
  pid_t pid;
  bool own_child;
  bool park;         /* the guest waits for AG_GO */
  bool kill_waits;   /* AG_KILL is answered when the cgroup is empty */
  uint64_t wait_seq; /* of the fork, kill or destroy that waits for this slot; 0: none */
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
  int net_map[3];      /* by enum ag_pool: map of AG_RULE, closed by AG_NETWORK; 0 or -1: none */
  int epoll_fd, self_fd, proc_fd, code_fd, packages_fd, base_fd, slots_fd, null_fd;
  int cg_parent_v2, cg_parent_v1[CTL_COUNT]; /* the directories that hold <name> */
  char cg_name[AG_NAME_MAX];
  int cg_top_v2;       /* locked while this helper lives */
  struct pool pool[3]; /* by enum ag_pool */
  struct slot slot[AG_MAX_SLOTS + 1];
  struct block block[AG_MAX_SLOTS + 1]; /* the first one has all ids of this helper */
  unsigned busy;                        /* slots that wait for an empty cgroup or for a zygote's answer */
};

/* A descriptor that is closed when its variable goes out of scope. errno stays the same. take_fd() moves the descriptor
 * out of the variable. */
#define SCOPED __attribute__((cleanup(close_scoped)))

/* fd.c */
#define KEEP_FDS_MAX 16
void close_scoped(int *fd);
int take_fd(int *fd);
bool keep_fds(const int fds[], int nfds);

/* diag.c */
int fault(int code, unsigned stage, const char *detail);
int fault_sys(unsigned stage, const char *detail); /* AG_E_SYS with errno */
const struct ag_completion *last_fault(void);
void die(unsigned stage, const char *detail) __attribute__((noreturn));
void die_of_fault(void) __attribute__((noreturn));
extern bool events_broken; /* the worker no longer reads its completions */
void complete(enum ag_kind kind, uint64_t seq, uint32_t slot, int result, const uint64_t value[8]);
uint64_t now_ms(void);

/* watch.c */
enum watch { WATCH_CONTROL = 1, WATCH_PID = 2, WATCH_LINK = 3, WATCH_JOB = 4, WATCH_SIGNAL = 5 };
int watch_fd(struct session *s, int fd, enum watch kind, uint32_t id);
void unwatch_fd(struct session *s, int *fd);

/* session.c */
void session_start(struct session *s);
struct slot *session_zygote(struct session *s, const struct slot *slot);

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

/* cgfile.c: all functions are relative to an open directory and follow no link; after a failure, errno tells why. */
const char *proc_file(pid_t pid, const char *name);
int put(int dir_fd, const char *path, const char *text);
ssize_t get(int dir_fd, const char *path, char *text, size_t size);
const char *after_word(const char *text, const char *word, char before);
int open_dir(int dir_fd, const char *path);
int make_dir(int dir_fd, const char *name);
