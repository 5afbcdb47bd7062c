/* SPDX-License-Identifier: Apache-2.0
 * The verbs of the protocol, and the life of a slot. */
#pragma once

#include "mech/mech.h"

/* slot.c */
int slot_make(struct session *s, const struct ag_request *r, int fds[], unsigned nfds);
int slot_started(struct session *s, uint32_t id, int pid_fd, pid_t pid, bool own_child);
void slot_answer(struct session *s, uint32_t id, int result, const uint64_t value[8]);
void slot_forked(struct session *s, uint32_t id, int result);
void slot_wait(struct session *s, uint32_t id, uint64_t seq);
int slot_go(struct session *s, uint32_t id, const char names[][AG_NAME_MAX], unsigned n);
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

/* jobs.c */
int job_remove(struct session *s, uint64_t seq, uint64_t area, const char *name);
void job_ended(struct session *s, uint32_t job);

/* verbs.c */
bool take_request(struct session *s);
