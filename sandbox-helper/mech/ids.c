/* SPDX-License-Identifier: Apache-2.0
 * A sandbox's identity: a host uid of its own, the gid of the same number, and a user namespace.
 *
 * A helper owns AG_UIDS of the ids in helper.conf, and no other helper of the machine has them. A leaf's user namespace
 * maps only the leaf's id. A zygote's maps its children's ids too, but the zygote cannot take one: it lacks CAP_SETUID,
 * and its filter allows only AG_GUEST_ID. The child enters a user namespace below the zygote's, which the helper makes
 * ahead (docs/adr/0009-identities.md). */
#include <linux/sched.h>
#include <sched.h>

#include "mech/mech.h"

#define LOCK_FILE "/run/argyle-uids" /* one byte per id; a lock ends with its helper */

static bool uid_taken[AG_UIDS];
static unsigned last_uid;

/* Takes the first range of helper.conf's ids that no living helper has.
 * Safety: a record lock, as on the cgroup's name. Only root can open the file, and the helper opens it only here. */
int ids_start(struct session *s) {
  const struct config *c = &s->config;
  SCOPED int lock = open(LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (lock < 0) return fault_sys(AG_ST_CONFIG, LOCK_FILE);
  for (uid_t first = c->first_uid; c->first_uid + c->uids - first >= AG_UIDS; first += AG_UIDS)
    if (fcntl(lock, F_SETLK, &(struct flock){.l_type = F_WRLCK, .l_start = first, .l_len = AG_UIDS}) == 0) {
      (void)take_fd(&lock); /* open until this process ends */
      s->first_uid = first;
      return 0;
    }
  return fault(AG_E_STATE, AG_ST_CONFIG, "sandbox_uids: helpers have all");
}

/* An id that no slot and no process has; a killed helper may have left a process. The longest unused comes first. */
static uid_t uid_take(const struct session *s) {
  for (unsigned tries = 0; tries < AG_UIDS; tries++) {
    last_uid = (last_uid + 1) % AG_UIDS;
    if (uid_taken[last_uid] || getpriority(PRIO_USER, s->first_uid + last_uid) != -1 || errno != ESRCH) continue;
    uid_taken[last_uid] = true;
    return s->first_uid + last_uid;
  }
  return 0;
}

static void identity_drop(struct session *s, struct identity *id) {
  if (id->uid) uid_taken[id->uid - s->first_uid] = false;
  id->uid = 0;
  close_scoped(&id->ns_fd);
}

static bool is_own(const struct session *s, const struct slot *slot, uid_t uid) {
  return slot->id.uid == uid || (slot->source && is_own(s, &s->slot[slot->source], uid));
}

/* Writes the id maps of the user namespace of process `pid`, which has no other process. A zygote's maps hold all ids
 * except those of the zygotes that it descends from; its own id is AG_GUEST_ID there. */
int ids_map(const struct session *s, const struct slot *slot, pid_t pid) {
  static const char *const files[] = {"setgroups", "uid_map", "gid_map"};
  char map[2048];
  uid_t from = s->first_uid, end = from + AG_UIDS;
  int n = snprintf(map, sizeof map, "%u %u 1\n", AG_GUEST_ID, slot->id.uid);
  for (uid_t uid = from; slot->role == AG_ZYGOTE && uid <= end; uid++) {
    if (uid != end && !is_own(s, slot, uid)) continue;
    if (uid > from) n += snprintf(map + n, sizeof map - (size_t)n, "%u %u %u\n", from, from, uid - from);
    from = uid + 1;
  }
  for (int i = 0; i < 3; i++)
    if (put(s->proc_fd, proc_file(pid, files[i]), i ? map : "deny") < 0) return fault_sys(AG_ST_SPAWN, files[i]);
  return 0;
}

/* Opens the user namespace of a process. */
int ids_open(const struct session *s, pid_t pid) {
  return openat(s->proc_fd, proc_file(pid, "ns/user"), O_RDONLY | O_CLOEXEC);
}

/* Runs in a process that shares the helper's descriptors. Makes the user namespace of a zygote's child below the
 * zygote's, as descriptor `place`. The namespace belongs to the child's id, so the zygote has no power over it. */
static bool make_child_namespace(const struct session *s, const struct slot *child, int place) {
  const struct clone_args args = {.flags = CLONE_FILES | CLONE_NEWUSER, .exit_signal = SIGCHLD};
  uid_t uid = child->id.uid;
  /* A process that is not dumpable cannot open its own files in /proc. */
  if (setns(s->slot[child->source].id.ns_fd, CLONE_NEWUSER) < 0 || setresgid(uid, uid, uid) < 0 ||
      setresuid(uid, uid, uid) < 0 || prctl(PR_SET_DUMPABLE, 1) < 0)
    return false;
  pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
  if (pid == 0) _exit(usleep(1000000)); /* waits for SIGKILL */
  SCOPED int fd = pid > 0 && ids_map(s, child, pid) == 0 ? ids_open(s, pid) : -1;
  if (pid > 0 && kill(pid, SIGKILL) == 0) waitpid(pid, NULL, 0);
  return fd >= 0 && dup3(fd, place, O_CLOEXEC) == place;
}

/* Makes an identity for `child`, whose role and source are set. POLICY: the helper waits 0.2 ms for the process. It
 * does so when a zygote starts, and after a fork that makes the zygote's number of children larger than ever before.
 * Safety: the process runs only this code. Once the process has left the helper's user namespace, it has power only
 * over the zygote's. */
static int make_identity(struct session *s, struct slot *child) {
  const struct clone_args args = {.flags = CLONE_FILES, .exit_signal = SIGCHLD};
  int status = 1;
  child->id = (struct identity){uid_take(s), fcntl(s->null_fd, F_DUPFD_CLOEXEC, 0)};
  pid_t pid = child->id.uid && child->id.ns_fd >= 0 ? (pid_t)syscall(SYS_clone3, &args, sizeof args) : -1;
  if (pid == 0) _exit(!make_child_namespace(s, child, child->id.ns_fd));
  /* Always waited for, because the process shares the helper's descriptors. */
  while (pid > 0 && waitpid(pid, &status, 0) < 0) continue;
  if (status == 0) return 0;
  identity_drop(s, &child->id);
  return fault(AG_E_LIMIT, AG_ST_SLOT, "no uid or user namespace");
}

/* Makes up to `most` identities for a zygote's next children, if few are left. A failure shows when one is needed. */
int ids_ahead(struct session *s, uint32_t zygote, unsigned most) {
  struct slot *z = &s->slot[zygote], child = {.role = AG_LEAF, .source = zygote};
  if (z->role != AG_ZYGOTE || z->state != SLOT_RUNNING) return 0;
  while (most-- && z->nahead < IDS_AHEAD / 2 && make_identity(s, &child) == 0) z->ahead[z->nahead++] = child.id;
  return 0;
}

/* Gives the slot an identity. Its role, and for a fork its source, are set. */
int ids_assign(struct session *s, struct slot *slot) {
  struct slot *zygote = &s->slot[slot->source];
  ids_release(s, slot);
  if (!slot->source) return (slot->id.uid = uid_take(s)) ? 0 : fault(AG_E_LIMIT, AG_ST_SLOT, "no uid");
  if (slot->role == AG_ZYGOTE || !zygote->nahead) return make_identity(s, slot);
  slot->id = zygote->ahead[--zygote->nahead];
  return 0;
}

/* Whether the slot's first process has taken the slot's ids. */
bool ids_taken(const struct session *s, const struct slot *slot) {
  char status[4096], want[128];
  unsigned u = slot->id.uid;
  snprintf(want, sizeof want, "\nUid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\n", u, u, u, u, u, u, u, u);
  return get(s->proc_fd, proc_file(slot->pid, "status"), status, sizeof status) > 0 && strstr(status, want);
}

/* Takes the identity of a slot whose processes have ended. An identity below a living
 * zygote is kept for a later leaf of that zygote, if there is room. */
void ids_release(struct session *s, struct slot *slot) {
  struct slot *zygote = session_zygote(s, slot);
  if (zygote && slot->role == AG_LEAF && slot->id.ns_fd >= 0 && zygote->nahead < IDS_AHEAD) {
    zygote->ahead[zygote->nahead++] = slot->id;
    slot->id = (struct identity){0, -1};
  }
  identity_drop(s, &slot->id);
  while (slot->nahead) identity_drop(s, &slot->ahead[--slot->nahead]);
}
