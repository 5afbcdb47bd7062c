/* SPDX-License-Identifier: Apache-2.0
 * A sandbox's identity: a host uid of its own, the gid of the same number, and a user namespace.
 *
 * A helper owns a range of the ids in helper.conf. No other helper of the machine has an id of this range. A leaf's
 * user namespace maps only the leaf's id. A zygote's user namespace maps the zygote's block: its own id, and the ids of
 * all processes that are forked below it. No other sandbox gets an id of this block. The zygote cannot take such an id:
 * it lacks CAP_SETUID, and its filter allows only AG_GUEST_ID. The child enters a user namespace below the zygote's,
 * which the helper makes ahead (docs/adr/0009-identities.md).
 *
 * A user namespace can map only ids that its parent namespace maps, and its map is written once. The block of a zygote
 * therefore lies in the block of its parent zygote. The first id of a block is the zygote's own. The ids of the
 * zygote's leaves follow: half of the block, but at most 2 * AG_MAX_SLOTS ids. The rest holds the blocks of zygotes
 * that are forked from this zygote: 4 blocks of an eighth of the rest each, 8 blocks of a 32nd each, 16 blocks of a
 * 128th each, and so on. The helper's range has the same shape; its leaves are the fresh guests that are no zygotes. A
 * block is free again when its zygote, all slots of its children and all blocks in it have ended. */
#include <linux/sched.h>

#include "mech/mech.h"

#define LOCK_FILE "/run/argyle-uids" /* one byte per id; a lock ends with its helper */
#define MIN_BLOCK 16

static bool taken[AG_UIDS_MAX]; /* the leaves' used ids, and the first id of each existing block */

/* Takes a range of helper.conf's ids that no living helper has. POLICY: a range has a 16th of all ids, but at most
 * AG_UIDS_MAX ids, and lies in the first half of the ids. When no such range is free, the helper takes AG_UIDS ids
 * anywhere, so that a few ids serve many helpers. Safety: a record lock holds the range, as another record lock holds
 * the cgroup's name. Only root can open the file, and the helper opens the file only here. */
int ids_start(struct session *s) {
  const struct config *c = &s->config;
  SCOPED int lock = open(LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (lock < 0) return fault_sys(AG_ST_CONFIG, LOCK_FILE);
  unsigned share = c->uids / 16, n = share < AG_UIDS ? AG_UIDS : share < AG_UIDS_MAX ? share : AG_UIDS_MAX;
  for (; n; n = n > AG_UIDS ? AG_UIDS : 0)
    for (uid_t first = c->first_uid; c->first_uid + c->uids - first >= n + (n > AG_UIDS ? c->uids / 2 : 0); first += n)
      if (fcntl(lock, F_SETLK, &(struct flock){.l_type = F_WRLCK, .l_start = first, .l_len = n}) == 0) {
        (void)take_fd(&lock); /* open until this process ends */
        s->slot[0].id.block = s->block;
        s->block[0] = (struct block){.first = first, .size = n, .users = 1};
        return 0;
      }
  return fault(AG_E_STATE, AG_ST_CONFIG, "sandbox_uids: helpers have all");
}

/* The number of a block's ids that are for the zygote and its leaves, and not for smaller blocks. */
static unsigned leaves_of(const struct block *b) { return b->size < 4 * AG_MAX_SLOTS ? b->size / 2 : 2 * AG_MAX_SLOTS; }

/* Takes one of n ids that lie `step` apart; 0 when there is none. The id that was unused for longest comes first. An id
 * of a living process is skipped, because a killed helper may have left the process. */
static uid_t uid_take(const struct session *s, uid_t at, unsigned step, unsigned n, unsigned *turn) {
  for (unsigned tries = 0; tries < n; tries++) {
    *turn = (*turn + 1) % n;
    uid_t uid = at + *turn * step;
    if (taken[uid - s->block->first] || getpriority(PRIO_USER, uid) != -1 || errno != ESRCH) continue;
    return taken[uid - s->block->first] = true, uid;
  }
  return 0;
}

/* Takes a new block in the block `above`, for a zygote. POLICY: the first zygotes get large blocks. Many smaller blocks
 * remain for later zygotes.
 */
static uid_t block_take(struct session *s, struct block *above, struct block **block) {
  unsigned size = (above->size - leaves_of(above)) / 8, n = 4, kind = 1;
  uid_t uid = 0, at = above->first + leaves_of(above);
  for (*block = s->block; (*block)->users; ++*block)
    if (*block == &s->block[AG_MAX_SLOTS]) return 0;
  for (; !uid && size >= MIN_BLOCK; at += n * size, n *= 2, size /= 4)
    if ((uid = uid_take(s, at, size, n, &above->turn[kind++]))) **block = (struct block){above, uid, size, 1, {0}};
  return uid;
}

static void identity_drop(struct session *s, struct identity *id) {
  struct block *b = id->block;
  if (id->uid && id->uid != b->first) taken[id->uid - s->block->first] = false;
  for (; id->uid && --b->users == 0; b = b->above) taken[b->first - s->block->first] = false;
  id->uid = 0;
  close_scoped(&id->ns_fd);
}

/* Writes the id maps of the user namespace whose only process is `pid`. A zygote's maps hold its block; its own id is
 * AG_GUEST_ID there. */
int ids_map(const struct session *s, const struct slot *slot, pid_t pid) {
  static const char *const files[] = {"setgroups", "uid_map", "gid_map"};
  const struct block *block = slot->id.block;
  uid_t uid = slot->id.uid;
  char map[128];
  int n = snprintf(map, sizeof map, "%u %u 1\n", AG_GUEST_ID, uid);
  if (uid == block->first) snprintf(map + n, sizeof map - (size_t)n, "%u %u %u\n", uid + 1, uid + 1, block->size - 1);
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

/* Makes an identity for `child`, whose role and source are set. For a zygote's child, another process makes the user
 * namespace. POLICY: the helper waits for this process, for 0.2 ms. This happens when a zygote starts, and after a fork
 * that makes the zygote's number of children larger than ever before. Safety: the process runs only this code. Once the
 * process has left the helper's user namespace, it has power only over the zygote's. */
static int make_identity(struct session *s, struct slot *child) {
  const struct clone_args args = {.flags = CLONE_FILES, .exit_signal = SIGCHLD};
  struct block *from = s->slot[child->source].id.block;
  int status = 1;
  child->id.block = from;
  child->id.uid = child->role == AG_ZYGOTE ? block_take(s, from, &child->id.block)
                                           : uid_take(s, from->first + 1, 1, leaves_of(from) - 1, from->turn);
  if (!child->id.uid)
    return fault(AG_E_LIMIT, AG_ST_SLOT, child->source ? "the zygote has no uid left" : "no uid left");
  from->users++;
  if (!child->source) return 0;
  child->id.ns_fd = fcntl(s->null_fd, F_DUPFD_CLOEXEC, 0);
  pid_t pid = child->id.ns_fd >= 0 ? (pid_t)syscall(SYS_clone3, &args, sizeof args) : -1;
  if (pid == 0) _exit(!make_child_namespace(s, child, child->id.ns_fd));
  /* The helper always waits for the process, because the process shares the helper's descriptors. */
  while (pid > 0 && waitpid(pid, &status, 0) < 0) continue;
  if (status == 0) return 0;
  identity_drop(s, &child->id);
  return fault(AG_E_LIMIT, AG_ST_SLOT, "no user namespace");
}

/* Makes up to `most` identities for a zygote's next children, if few are left. A failure is reported when an identity
 * is needed. */
int ids_ahead(struct session *s, uint32_t zygote, unsigned most) {
  struct slot *z = &s->slot[zygote], child = {.role = AG_LEAF, .source = zygote};
  if (z->role != AG_ZYGOTE || z->state != SLOT_RUNNING) return 0;
  while (most-- && z->nahead < IDS_AHEAD / 2 && make_identity(s, &child) == 0) z->ahead[z->nahead++] = child.id;
  return 0;
}

/* Gives the slot an identity. The caller has set the slot's role, and its source for a fork. */
int ids_assign(struct session *s, struct slot *slot) {
  struct slot *zygote = &s->slot[slot->source];
  ids_release(s, slot);
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

/* Takes back the identity of a slot whose processes have ended. The identity of a leaf is kept for a later leaf of its
 * zygote, if the zygote lives and has room. */
void ids_release(struct session *s, struct slot *slot) {
  struct slot *zygote = session_zygote(s, slot);
  if (zygote && slot->id.uid && slot->id.block == zygote->id.block && zygote->nahead < IDS_AHEAD) {
    zygote->ahead[zygote->nahead++] = slot->id;
    slot->id = (struct identity){.ns_fd = -1};
  }
  identity_drop(s, &slot->id);
  while (slot->nahead) identity_drop(s, &slot->ahead[--slot->nahead]);
}
