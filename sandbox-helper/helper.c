/* SPDX-License-Identifier: Apache-2.0
 *
 * Theory of operation
 *
 * sandbox-helper is the only privileged part of Argyle. Each worker starts one (setuid root, or
 * exec'ed by root) over a socket and a pipe. The helper lives as long as the worker holds both.
 *
 *   process          user               privileges                                      sees
 *   worker           caller             none                                            host
 *   helper           root               a reduced capability set, no_new_privs          own mount namespace
 *   remover          root               CAP_DAC_OVERRIDE, CAP_FOWNER                    same, one job, then exits
 *   prespawned       root               all inside its user namespace, none outside;    same as the helper
 *   guest                               runs only the helper's own code
 *   fresh guest      sandbox uid        none; user/pid/ipc/uts namespaces, seccomp      its slot's root
 *   zygote           sandbox uid        SYS_CHROOT+SYS_ADMIN inside its user namespace  its slot's root
 *   forked guest     sandbox uid        none; pid/ipc namespaces, seccomp twice         its slot's root
 *
 * Start: the helper checks its channels, cleans privileges and environment, and only then parses (priv.c, config.c).
 * HELLO opens the caller's directories below configured roots. HELLO then moves the helper into a mount namespace whose
 * root is an empty tmpfs (rootfs.c). Mounts of this namespace exist nowhere else and end with it. Each slot is a
 * directory in that tmpfs, a cgroup and a scratch tmpfs, all under one random name (slot.c). The helper clones a guest
 * itself (spawn.c), or orders a zygote to fork the guest (zygote_link.c). A forked guest's pid namespace is nested in
 * its zygote's, so a forked guest dies with its zygote. Fresh guests die with the helper. The next HELLO of the same
 * name removes cgroups that a killed helper left (cgroup.c).
 *
 * Calls point one way: this main loop, then verbs/ (what the worker asks for, the life of a slot),
 * mech/ (mechanisms of the kernel), base/ (tables, faults, descriptors, names).
 *
 * Every function that can fail returns 0 or a descriptor, or -1 with the fault recorded by fault().
 */
#include "verbs/verbs.h"

#ifndef ARGYLE_CONFIG
#define ARGYLE_CONFIG "/etc/argyle/helper.conf"
#endif
#define TICK_MS 2 /* interval of slots_tick() while a slot waits for processes to die */

/* An earlier event of the same batch may have closed this descriptor: each case checks. */
static bool handle_event(struct session *s, const struct epoll_event *e) {
  uint32_t id = (uint32_t)e->data.u64;
  enum watch kind = (enum watch)(e->data.u64 >> 32);
  if (kind == WATCH_CONTROL) return take_request(s);
  if (kind == WATCH_PID) slot_process_ended(s, id);
  if (kind == WATCH_LINK && s->slot[id].link_fd >= 0) zygote_answered(s, id);
  if (kind == WATCH_JOB) job_ended(s, id);
  return kind != WATCH_SIGNAL;
}

static struct session session;

int main(int argc, char **argv) {
  struct session *s = &session;
  const char *path = ARGYLE_CONFIG;
  priv_start(s);
  if (argc == 3 && !strcmp(argv[1], "--config")) {
    if (s->caller_uid != 0) die(AG_ST_PRIV, "--config is for root");
    path = argv[2];
  } else if (argc != 1) {
    die(AG_ST_USAGE, "usage: sandbox-helper [--config FILE]");
  }
  if (config_load(path, s->caller_uid == 0, &s->config) < 0) die_of_fault();
  priv_check_caller(s);
  priv_drop_helper_caps();
  session_start(s);

  for (bool alive = true; alive && !events_broken;) {
    struct epoll_event events[64];
    int n = epoll_wait(s->epoll_fd, events, 64, s->busy ? TICK_MS : -1);
    if (n < 0 && errno != EINTR) break;
    for (int i = 0; i < n && alive; i++) alive = handle_event(s, &events[i]);
    if (s->busy) slots_tick(s);
  }
  cgroup_stop(s);
  return events_broken ? AG_ST_EVENTS : 0;
}
