/* SPDX-License-Identifier: Apache-2.0
 * Mechanisms: identities, roots, cgroups, network, file trees. They decide nothing about the life of a slot. */
#pragma once

#include "base/base.h"

/* priv.c */
void priv_start(struct session *s);
int priv_limit(unsigned what, rlim_t soft, rlim_t hard);
int priv_bound(uint64_t mask);
int priv_keep(uint64_t mask, bool inheritable);
void priv_drop_helper_caps(void);
void priv_check_caller(const struct session *s);

/* ids.c */
int ids_start(struct session *s);
int ids_map(const struct session *s, const struct slot *slot, pid_t pid);
int ids_open(const struct session *s, pid_t pid);
int ids_ahead(struct session *s, uint32_t zygote, unsigned most);
int ids_assign(struct session *s, struct slot *slot);
bool ids_taken(const struct session *s, const struct slot *slot);
void ids_release(struct session *s, struct slot *slot);

/* rootfs.c */
int rootfs_unshare(void);
int rootfs_enter(struct session *s, int worker_fd, int packages_fd, int base_fd, bool host_usr);
int rootfs_make(struct session *s, const char *name, uint64_t scratch_bytes);
int rootfs_chown(int root_fd, uid_t uid);
int rootfs_open(struct session *s, const char *name);
int rootfs_bind(struct session *s, const char *slot_name, int area_fd, const char *what, const char *where,
                bool writable);
int rootfs_bind_code(struct session *s, const char *slot_name, const char names[][AG_NAME_MAX], unsigned n);
int rootfs_remove(struct session *s, const char *name);

/* cgroup.c */
extern const char *const controller_name[CTL_COUNT];
extern const char *const pool_name[]; /* by enum ag_pool */
int cgroup_start(struct session *s, const char *name);
void cgroup_stop(struct session *s);

/* cgslot.c */
int cgroup_make(struct session *s, struct slot *slot, const uint64_t limits[8]);
int cgroup_limits(struct session *s, struct slot *slot, const uint64_t limits[8]);
int cgroup_open(struct session *s, const struct slot *slot, uid_t cloner);
int cgroup_open_tasks(struct session *s, struct slot *slot, const char *zygote, int fds[CTL_COUNT]);
bool cgroup_has_joined(struct session *s, const struct slot *slot);
pid_t cgroup_first_pid(struct session *s, unsigned pool, const char *name);
int cgroup_freeze(struct session *s, unsigned pool, const char *name, bool frozen);
int cgroup_kill(struct session *s, unsigned pool, const char *name);
bool cgroup_populated(struct session *s, unsigned pool, const char *name);
int cgroup_remove(struct session *s, struct slot *slot, bool whole);
int cgroup_pressure(struct session *s, const struct slot *slot, uint64_t value[8]);
int cgroup_usage(struct session *s, const struct slot *slot, uint64_t value[8]);
void cgroup_final_counts(const struct session *s, const struct slot *slot, uint64_t *oom_kills, uint64_t *refused);

/* net.c */
int net_rule(struct session *s, unsigned pool, uint32_t passes, const uint64_t word[4], uint32_t bits);
int net_apply(struct session *s, unsigned mode, unsigned pool, const uint64_t endpoint[], unsigned n);

/* tree.c */
int tree_remove(int dir_fd, const char *name);
