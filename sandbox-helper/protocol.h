/* SPDX-License-Identifier: Apache-2.0
 *
 * The protocol of the helper and libargyle. src/helper/protocol.ts mirrors it; a test compares both.
 *
 * worker -> helper   struct ag_request, one per SOCK_SEQPACKET datagram, descriptors by SCM_RIGHTS.
 * helper -> worker   struct ag_completion, fixed size, written whole to a pipe (128 <= PIPE_BUF, so
 *                    records never interleave). Every request gets exactly one reply with its seq;
 *                    events carry seq 0.
 * All integers are host-endian; strings are NUL-terminated inside their fixed field.
 */
#pragma once

#include <stdint.h>

#define AG_MAGIC 0x41524759u /* "ARGY" */
#define AG_VERSION 1u
#define AG_NAME_MAX 256u
#define AG_NAMES 4u
#define AG_MAX_SLOTS 4096u
#define AG_MAX_FDS 3u
#define AG_GUEST_ID 1000 /* uid and gid inside a sandbox's user namespace; with 0, an exec would gain capabilities */

/* Descriptors at which the helper finds its channels when it is started. */
#define AG_CONTROL_FD 3 /* SOCK_SEQPACKET; at its EOF the helper kills everything and exits */
#define AG_EVENTS_FD 4  /* write end of the completion pipe */

/* Descriptors at which every guest process finds its channels. */
#define AG_GUEST_LINK_FD 3   /* SOCK_SEQPACKET to the helper: GO and FORK orders */
#define AG_GUEST_LISTEN_FD 4 /* the slot's listening unix socket, made by the worker */

enum ag_verb {
  AG_HELLO = 1,   /* names: worker dir, packages dir, base dir (each below root arg[0..2]), cgroup name */
  AG_NETWORK = 2, /* arg: mode, pool, up to 6 endpoints (ipv4 << 16 | port) that stay reachable */
  AG_SLOT = 3,    /* role: pool; arg: limits; fds: listening socket, log, errors (default: log) */
  AG_SPAWN = 4,   /* slot; role; name[0] code dir, name[1] view, or staging dir of an installer. value[0]: host pid */
  AG_FORK = 5,    /* source zygote -> slot; role; name[0] code dir, name[1] view; AG_F_PARK. value[0]: host pid */
  AG_GO = 6,      /* bind name[0] on /handler and name[1] on /packages of a parked slot and let it run */
  AG_PAUSE = 7,   /* cgroup.freeze */
  AG_RESUME = 8,
  AG_KILL = 9,     /* replies once no process is left in the slot; the slot stays, in state DEAD */
  AG_DESTROY = 10, /* kill, unmount, remove cgroups; replies once the slot id is free again */
  AG_USAGE = 11,   /* value: see enum ag_usage */
  AG_LIMITS = 12,  /* arg: limits, as in AG_SLOT */
  AG_REMOVE = 13,  /* remove tree name[0] below area arg[0] (enum ag_area) */
  AG_DIAG = 14,    /* value: slots that are not free, slots that wait */
  /* Allowed only before the pool's network is set. arg: 0 to refuse or 1 to let pass; pool; four words of an address,
   * most significant first (IPv4 as ::ffff:0:0/96); bits of the prefix. The longest prefix wins. Of two equal prefixes,
   * the later one wins. */
  AG_RULE = 15,
  AG_PRESSURE = 16, /* value: see enum ag_pressure */
  AG_VERB_END = 17
};

enum ag_role { AG_LEAF = 1, AG_ZYGOTE = 2, AG_INSTALLER = 3 };
enum ag_pool { AG_POOL_LAMBDA = 1, AG_POOL_INSTALL = 2 };
enum ag_network { AG_NET_OUTBOUND = 1, AG_NET_NONE = 2, AG_NET_HOST = 3 };
enum ag_area { AG_AREA_PACKAGES = 1, AG_AREA_CODE = 2 };

/* ag_request.flags */
#define AG_F_PARK 1u       /* AG_FORK, AG_SPAWN: AG_GO follows; until then a fresh guest does not start Python */
#define AG_F_HOST_USR 4u   /* AG_HELLO: the base's /usr is the host's, bound read-only */
#define AG_F_NO_SECCOMP 8u /* AG_HELLO: features.enable_seccomp false; root callers only */

/* Indexes into ag_request.arg for AG_SLOT and AG_LIMITS. 0 means no limit (scratch: the default). The weight is the
 * value of cpu.weight among the slots of a pool: 1 to 10,000, by default 100. */
enum ag_limit { AG_LIM_MEM_BYTES, AG_LIM_PIDS, AG_LIM_CPU_PERCENT, AG_LIM_SWAP_BYTES, AG_LIM_SCRATCH, AG_LIM_WEIGHT };

/* Indexes into ag_completion.value for AG_USAGE. */
enum ag_usage {
  AG_USE_MEM_BYTES = 0,
  AG_USE_PIDS = 1,
  AG_USE_OOM_KILLS = 2,
  AG_USE_CPU_USEC = 3,
  AG_USE_FROZEN = 4,
  AG_USE_PIDS_REFUSED = 5, /* processes and threads that AG_LIM_PIDS refused */
  AG_USE_THREADS = 6,      /* threads of the slot's first process */
  AG_USE_PID = 7           /* host pid of the slot's first process, 0 when it is gone */
};

/* Indexes into ag_completion.value for AG_PRESSURE. All but the first are totals since the cgroup's start. */
enum ag_pressure {
  AG_PRS_MEM_BYTES = 0,
  AG_PRS_REFAULTS = 1, /* pages read again after they were dropped */
  AG_PRS_MAJOR_FAULTS = 2,
  AG_PRS_FAULTS = 3,
  AG_PRS_USER_USEC = 4
};

struct ag_request {
  uint32_t magic;
  uint16_t version;
  uint16_t verb;
  uint64_t seq;
  uint32_t slot;   /* 1..AG_MAX_SLOTS, chosen by the worker */
  uint32_t source; /* AG_FORK: the zygote's slot */
  uint32_t role;
  uint32_t flags;
  uint64_t arg[8];
  char name[AG_NAMES][AG_NAME_MAX];
}; /* 1120 bytes */

/* AG_EVENT_EXIT: the slot's first process ended; value: wait status or ~0, OOM kills, host pid, pids refused */
enum ag_kind { AG_REPLY = 1, AG_EVENT_EXIT = 2 };

enum ag_code {
  AG_OK = 0,
  AG_E_BADREQ = 1,  /* malformed: size, magic, role, name, descriptor */
  AG_E_VERSION = 2, /* protocol version mismatch */
  AG_E_STATE = 3,   /* the slot or session is not in a state that allows the verb */
  AG_E_NOENT = 4,   /* a name does not exist below its root */
  AG_E_DENIED = 5,  /* a root, owner or mode forbids it */
  AG_E_LIMIT = 6,   /* no slot, descriptor or cgroup left */
  AG_E_SYS = 7,     /* a system call failed: sys_errno and stage say which */
  AG_E_ZYGOTE = 8   /* the zygote died or refused while forking */
};

struct ag_completion {
  uint32_t magic;
  uint16_t version;
  uint16_t kind;
  uint64_t seq;
  uint32_t slot;
  int32_t code;
  int32_t sys_errno;
  uint32_t stage; /* enum ag_stage */
  uint64_t value[8];
  char detail[32]; /* the failing call or name, for the log */
};                 /* 128 bytes */

/* The place of a failure. A helper that cannot go on exits with the stage as its exit code. */
enum ag_stage {
  AG_ST_NONE = 0,
  AG_ST_USAGE = 10,   /* bad command line or missing channel descriptors */
  AG_ST_PRIV = 11,    /* not root, or the caller is not allowed */
  AG_ST_CONFIG = 12,  /* helper.conf missing, unsafe or malformed */
  AG_ST_HELLO = 13,   /* first message missing, malformed or of another version */
  AG_ST_ROOTS = 14,   /* a configured root cannot be opened safely */
  AG_ST_MOUNTNS = 15, /* private mount namespace */
  AG_ST_CGROUP = 16,
  AG_ST_NETWORK = 17,
  AG_ST_SLOT = 18,
  AG_ST_SPAWN = 19,
  AG_ST_FORK = 20,
  AG_ST_KILL = 21,
  AG_ST_REMOVE = 22,
  AG_ST_EVENTS = 23, /* the completion pipe is broken */
  AG_ST_JOB = 24,    /* a child process of the helper, for slow work */
  /* exit codes of a guest that could not be set up, 30 and up */
  AG_ST_GUEST_NS = 30,
  AG_ST_GUEST_ROOT = 31,
  AG_ST_GUEST_PRIV = 32,
  AG_ST_GUEST_SECCOMP = 33,
  AG_ST_GUEST_EXEC = 34,
  AG_ST_GUEST_CGROUP = 35
};

/* helper <-> guest, on AG_GUEST_LINK_FD. Fixed size, never larger. */
enum ag_link_op {
  AG_LINK_GO = 1, /* helper -> guest: the start is complete; the guest may accept and serve */
  /* helper -> zygote, fds: root dir, cgroup dir, listen, log, errors, child's link, child's user namespace, and the
   * `tasks` files to which the child writes 0 to join its v1 cgroups; result: 1 to park */
  AG_LINK_FORK = 2,
  AG_LINK_FORKED = 3 /* zygote, or its child by the same link -> helper: result is 0 or -errno */
};
#define AG_LINK_FORK_FDS 7
#define AG_LINK_MAX_FDS (AG_LINK_FORK_FDS + 3)

struct ag_link_msg {
  uint32_t op;
  uint32_t role;
  uint64_t seq;
  int64_t result;
};
