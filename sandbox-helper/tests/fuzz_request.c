/* SPDX-License-Identifier: Apache-2.0
 * libFuzzer target: the request parser, the dispatch, the life of slots and a zygote's answers.
 *
 * Real: verbs/ without spawn.c, ids.c without its processes, and base/, with real sockets, pipes and epoll.
 * Fake: calls that change the machine (cgroups, mounts, BPF, clone, fork). A fake process is an eventfd, so
 * that it can be waited for like a pidfd. The input is a list of records, each led by a byte:
 *   0      a datagram of raw bytes          1      a request of few bytes, most likely well formed
 *   2      a zygote's answer, right or not  3      a process ends       4      a tick       5      a job ends */
#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/eventfd.h>

#include "verbs/verbs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);
long __real_syscall(long number, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long number, ...);
void __wrap_die(unsigned stage, const char *detail) __attribute__((noreturn));
void __wrap_die_of_fault(void) __attribute__((noreturn));
pid_t __wrap_fork(void);
int __wrap_kill(pid_t pid, int signal);
pid_t __wrap_waitpid(pid_t pid, int *status, int options);
int __wrap_ids_start(struct session *s);
bool __wrap_ids_taken(const struct session *s, const struct slot *slot);
int __wrap_waitid(idtype_t type, id_t id, siginfo_t *info, int options);

#define FAKES 8
#define FAKE_PID 4242
#define JOBS 17 /* one more than the most that can run */
#define BLOCKS 64
#define IDENTITIES ((FAKES + 1) * (1 + IDS_AHEAD))
#define NONE (-2)
static struct session session;
static jmp_buf ended;
static int worker, completions, peer[AG_MAX_SLOTS + 1];
static unsigned jobs;         /* that were forked and have not ended */
static int job_status = NONE; /* of the job that ends next; -1: killed */
static uint64_t asked, answered;
static const uint8_t *at, *end;

static uint8_t byte(void) { return at < end ? *at++ : 0; }

/* --- fakes --- */
/* Always reads six arguments, as the C library does. */
__attribute__((no_sanitize("address"))) long __wrap_syscall(long number, ...) {
  long a[6];
  va_list list;
  va_start(list, number);
  for (int i = 0; i < 6; i++) a[i] = va_arg(list, long);
  va_end(list);
  if (number == SYS_clone3) return byte() % 8 ? FAKE_PID : (errno = EAGAIN, -1);
  if (number == SYS_pidfd_open) return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (number == SYS_pidfd_send_signal) return eventfd_write((int)a[0], 1);
  return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

void __wrap_die(unsigned stage, const char *detail) {
  (void)detail;
  assert(stage >= AG_ST_USAGE && stage <= AG_ST_JOB);
  longjmp(ended, 1);
}

void __wrap_die_of_fault(void) { __wrap_die(last_fault()->stage, last_fault()->detail); }

pid_t __wrap_fork(void) { return jobs++, FAKE_PID; }
int __wrap_kill(pid_t pid, int signal) { return assert(pid == FAKE_PID), (void)signal, 0; }
pid_t __wrap_waitpid(pid_t pid, int *status, int options) { return status ? *status = 0 : 0, (void)options, pid; }

int __wrap_waitid(idtype_t type, id_t id, siginfo_t *info, int options) {
  (void)id;
  assert(type == (idtype_t)P_PIDFD && options == (WEXITED | WNOHANG));
  if (job_status == NONE) return errno = EBADF, -1; /* the guest's status is unknown */
  info->si_pid = FAKE_PID;
  info->si_code = job_status < 0 ? CLD_KILLED : CLD_EXITED;
  info->si_status = job_status;
  job_status = NONE;
  jobs--;
  return 0;
}

static int maybe(unsigned stage) { return byte() % 8 ? 0 : (errno = EIO, fault_sys(stage, "fake")); }
const char *const pool_name[] = {NULL, "lambda", "install"};
int rootfs_unshare(void) { return 0; }
int rootfs_enter(struct session *s, int w, int p, int b, bool usr) {
  (void)w, (void)p, (void)b, (void)usr;
  s->code_fd = s->packages_fd = s->base_fd = s->slots_fd = s->proc_fd;
  return 0;
}
int rootfs_make(struct session *s, const char *name, uint64_t bytes) {
  (void)s, (void)name, (void)bytes;
  return maybe(AG_ST_SLOT);
}
int rootfs_open(struct session *s, const char *name) {
  (void)name;
  return maybe(AG_ST_SLOT) < 0 ? -1 : dup(s->null_fd);
}
int rootfs_bind(struct session *s, const char *slot, int area, const char *what, const char *where, bool writable) {
  (void)s, (void)slot, (void)area, (void)where, (void)writable;
  if (!name_is_component(what)) return fault(AG_E_BADREQ, AG_ST_SLOT, "name");
  return maybe(AG_ST_SLOT);
}
int rootfs_bind_code(struct session *s, const char *slot, const char names[][AG_NAME_MAX], unsigned n) {
  for (unsigned i = 0; i < n; i++)
    if (names[i][0] && rootfs_bind(s, slot, 0, names[i], "", false) < 0) return -1;
  return 0;
}
int rootfs_remove(struct session *s, const char *name) { return (void)s, (void)name, 0; }
int cgroup_start(struct session *s, const char *name) { return (void)s, (void)name, 0; }
int cgroup_make(struct session *s, struct slot *slot, const uint64_t limits[8]) {
  (void)s, (void)limits;
  assert(slot->pool == AG_POOL_LAMBDA || slot->pool == AG_POOL_INSTALL);
  return maybe(AG_ST_CGROUP);
}
int cgroup_limits(struct session *s, struct slot *slot, const uint64_t limits[8]) {
  return cgroup_make(s, slot, limits);
}
int cgroup_open_tasks(struct session *s, struct slot *slot, const char *zygote, int fds[CTL_COUNT]) {
  int n = byte() % 4; /* none on a pure v2 host */
  snprintf(slot->v1.zygote, CG_NAME, "%s", zygote);
  if (n == 3) return maybe(AG_ST_CGROUP) < 0 ? -1 : 0;
  for (int i = 0; i < n; i++) fds[i] = dup(s->null_fd);
  return n;
}
bool cgroup_has_joined(struct session *s, const struct slot *slot) { return (void)s, (void)slot, byte() % 8; }
int cgroup_open(struct session *s, const struct slot *slot, uid_t cloner) {
  return (void)cloner, rootfs_open(s, slot->name);
}
pid_t cgroup_first_pid(struct session *s, unsigned pool, const char *name) {
  return (void)s, (void)pool, (void)name, byte() % 8 ? FAKE_PID : 0;
}
int cgroup_freeze(struct session *s, unsigned pool, const char *name, bool frozen) {
  return (void)s, (void)pool, (void)name, (void)frozen, maybe(AG_ST_CGROUP);
}
static struct slot *named(struct session *s, const char *name) {
  for (uint32_t id = 1; id <= AG_MAX_SLOTS; id++)
    if (s->slot[id].state != SLOT_FREE && !strcmp(s->slot[id].name, name)) return &s->slot[id];
  return NULL;
}
int cgroup_kill(struct session *s, unsigned pool, const char *name) {
  struct slot *slot = named(s, name);
  (void)pool;
  if (slot && slot->pid_fd >= 0) eventfd_write(slot->pid_fd, 1);
  return 0;
}
bool cgroup_populated(struct session *s, unsigned pool, const char *name) {
  return (void)s, (void)pool, (void)name, byte() % 4 == 3;
}
int cgroup_remove(struct session *s, struct slot *slot, bool whole) { return (void)s, (void)slot, (void)whole, 0; }
int cgroup_usage(struct session *s, const struct slot *slot, uint64_t value[8]) {
  return (void)s, (void)slot, (void)value, maybe(AG_ST_CGROUP);
}
void cgroup_final_counts(const struct session *s, const struct slot *slot, uint64_t *oom_kills, uint64_t *refused) {
  (void)s, (void)slot, *oom_kills = *refused = 0;
}
int cgroup_pressure(struct session *s, const struct slot *slot, uint64_t value[8]) {
  (void)s, (void)slot, memset(value, 0, 8 * sizeof *value);
  return maybe(AG_ST_CGROUP);
}
int rootfs_chown(int root_fd, uid_t uid) { return (void)root_fd, (void)uid, maybe(AG_ST_SLOT); }
/* As few ids as a helper may have, so that blocks and ids run out. */
int __wrap_ids_start(struct session *s) {
  s->block[0] = (struct block){.first = 2000000000, .size = AG_UIDS, .users = 1};
  s->slot[0].id.block = s->block;
  return 0;
}
bool __wrap_ids_taken(const struct session *s, const struct slot *slot) { return (void)s, (void)slot, byte() % 8; }
void cgroup_stop(struct session *s) { (void)s; }
int net_rule(struct session *s, unsigned pool, uint32_t passes, const uint64_t word[4], uint32_t bits) {
  for (int w = 0; w < 4; w++) assert(word[w] <= UINT32_MAX);
  assert(pool >= 1 && pool <= 2 && passes <= 1 && bits <= 128 && !s->network[pool]);
  return maybe(AG_ST_NETWORK);
}
int net_apply(struct session *s, unsigned mode, unsigned pool, const uint64_t endpoint[], unsigned n) {
  (void)s, (void)endpoint;
  assert(mode >= 1 && mode <= 3 && pool >= 1 && pool <= 2 && n <= 6);
  return maybe(AG_ST_NETWORK);
}
int priv_bound(uint64_t mask) { return (void)mask, 0; }
int priv_keep(uint64_t mask, bool inheritable) { return (void)mask, (void)inheritable, 0; }

int spawn_guest(struct session *s, const struct ag_request *r, uint64_t value[8]) {
  struct slot *slot = &s->slot[r->slot];
  int link[2];
  if (slot->state != SLOT_READY) return fault(AG_E_STATE, AG_ST_SPAWN, "slot is not ready");
  if (r->role < AG_LEAF || r->role > AG_INSTALLER) return fault(AG_E_BADREQ, AG_ST_SPAWN, "role");
  slot->role = r->role;
  slot->source = 0;
  if (ids_assign(s, slot) < 0 || maybe(AG_ST_SPAWN) < 0 ||
      socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, link) < 0)
    return -1;
  if (r->role == AG_ZYGOTE) slot->id.ns_fd = dup(s->null_fd);
  slot->link_fd = link[0];
  close_scoped(&peer[r->slot]);
  peer[r->slot] = link[1];
  if (slot_started(s, r->slot, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), FAKE_PID, true) < 0 ||
      (!(r->flags & AG_F_PARK) && slot_go(s, r->slot, NULL, 0) < 0)) {
    slot_fail(s, r->slot);
    return -1;
  }
  value[0] = FAKE_PID;
  return 0;
}

/* --- identities --- */
static bool has(const struct block *b, uid_t uid) { return uid - b->first < b->size; }

static bool is_in(const struct block *b, const struct block *outer) {
  while (b && b != outer) b = b->above;
  return b;
}

/* No id is in two places, and no two blocks overlap unless one is inside the other. A block lives as long as something
 * uses it. */
static void check_ids(void) {
  struct identity all[IDENTITIES];
  unsigned n = 0, users[BLOCKS] = {1};
  for (uint32_t id = 1; id <= FAKES + 1; id++) {
    const struct slot *slot = &session.slot[id];
    if (slot->id.uid) all[n++] = slot->id;
    assert(!slot->id.uid || (slot->id.uid == slot->id.block->first) == (slot->role == AG_ZYGOTE));
    for (unsigned i = 0; i < slot->nahead; i++) {
      all[n++] = slot->ahead[i];
      assert(slot->ahead[i].block == slot->id.block && slot->ahead[i].uid != slot->id.uid);
    }
  }
  for (unsigned i = 0; i < n; i++) {
    users[all[i].block - session.block]++;
    assert(has(all[i].block, all[i].uid));
    for (unsigned j = 0; j < i; j++) assert(all[i].uid != all[j].uid);
  }
  for (unsigned i = 1; i < BLOCKS; i++) {
    const struct block *b = &session.block[i];
    if (!b->users) continue;
    users[b->above - session.block]++;
    assert(b->size >= 16 && has(b->above, b->first) && has(b->above, b->first + b->size - 1));
    for (unsigned j = 0; j < n; j++) assert(is_in(all[j].block, b) == has(b, all[j].uid));
    for (unsigned j = 1; j < i; j++) {
      const struct block *c = &session.block[j];
      assert(!c->users || is_in(b, c) || is_in(c, b) || b->first - c->first >= c->size);
      assert(!c->users || is_in(b, c) || is_in(c, b) || c->first - b->first >= b->size);
    }
  }
  for (unsigned i = 0; i < BLOCKS; i++) assert(users[i] == session.block[i].users);
}

/* --- the worker's side --- */
static void drain(void) {
  struct ag_completion c;
  while (read(completions, &c, sizeof c) == (ssize_t)sizeof c) {
    assert(c.magic == AG_MAGIC && c.version == AG_VERSION && (c.kind == AG_REPLY || c.kind == AG_EVENT_EXIT));
    assert(memchr(c.detail, 0, sizeof c.detail) && c.code >= AG_OK && c.code <= AG_E_ZYGOTE);
    assert((c.code == AG_OK) == (c.stage == AG_ST_NONE));
    answered += c.kind == AG_REPLY;
  }
}

static void send_request(const void *bytes, size_t size, unsigned nfds) {
  int fds[4] = {-1, -1, -1, -1}, pipe_fds[2];
  char control[CMSG_SPACE(sizeof fds)] = {0};
  struct iovec part = {(void *)(uintptr_t)bytes, size};
  struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};
  if (size == 0) return; /* reads like the end of the socket */
  if (nfds > 4) nfds = 4;
  if (nfds) { /* a listening socket, both ends of a pipe, and the socket again */
    struct sockaddr_un {
      sa_family_t family;
      char path[20];
    } a = {.family = AF_UNIX};
    fds[0] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bind(fds[0], (struct sockaddr *)&a, sizeof a.family);
    listen(fds[0], 1);
    if (pipe2(pipe_fds, O_CLOEXEC) < 0) abort();
    fds[1] = pipe_fds[1], fds[2] = pipe_fds[0], fds[3] = dup(fds[0]);
    m.msg_control = control;
    m.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
    memcpy(CMSG_DATA(c), fds, sizeof(int) * nfds);
  }
  if (sendmsg(worker, &m, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)size) {
    asked++;
    take_request(&session);
  }
  for (int i = 0; i < 4; i++) close_scoped(&fds[i]);
}

/* A whole request with raw bytes over some part of it. */
static void spoilt_request(size_t length) {
  struct ag_request r = {.magic = AG_MAGIC, .version = AG_VERSION, .verb = AG_DIAG, .seq = asked + 1, .slot = 1};
  size_t offset = byte() * 5u;
  if (length > (size_t)(end - at)) length = (size_t)(end - at);
  if (offset + length > sizeof r) offset = sizeof r - length;
  memcpy((char *)&r + offset, at, length);
  if (r.slot <= AG_MAX_SLOTS) r.slot %= FAKES + 2; /* the fakes are few */
  send_request(&r, sizeof r, 2);
}

static void small_request(void) {
  static const char *const names[] = {"", "1", "..", "a/b", "/", "x-sandboxes", "worker", "."};
  struct ag_request r = {.magic = AG_MAGIC, .version = AG_VERSION, .seq = 0x100000000ull + asked + 1};
  r.verb = byte() % (AG_VERB_END + 2);
  r.slot = byte() % (FAKES + 2);
  r.source = byte() % (FAKES + 2);
  r.role = byte() % 5;
  r.flags = byte();
  for (int i = 0; i < 3; i++) r.arg[i] = byte() % 4;
  r.arg[AG_LIM_SCRATCH] = byte() ? 0 : ~0ull;
  if (r.verb == AG_RULE) r.arg[AG_LIM_SCRATCH] >>= 32, r.arg[6] = byte();
  uint8_t name = byte();
  for (int i = 0; i < 4; i++) snprintf(r.name[i], AG_NAME_MAX, "%s", names[(name >> i) % 8]);
  send_request(&r, sizeof r, byte() % 6 < 5 ? 2 : 4);
}

static void zygote_answers(void) {
  uint32_t id = byte() % (FAKES + 1);
  struct ag_link_msg m = {0};
  int got[AG_LINK_MAX_FDS];
  char control[CMSG_SPACE(sizeof got)];
  struct iovec part = {&m, sizeof m};
  struct msghdr h = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  if (peer[id] < 0) return;
  while (recvmsg(peer[id], &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) > 0) {
    struct cmsghdr *c = CMSG_FIRSTHDR(&h);
    if (c) {
      memcpy(got, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
      if (m.op == AG_LINK_FORK && (uint32_t)m.seq <= FAKES + 1) { /* the child's link */
        close_scoped(&peer[(uint32_t)m.seq]);
        peer[(uint32_t)m.seq] = fcntl(got[5], F_DUPFD_CLOEXEC, 0);
      }
      for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) close(got[i]);
    }
    h.msg_controllen = sizeof control;
    if (m.op == AG_LINK_FORK) break;
  }
  uint8_t how = byte();
  m.op = how & 1 ? m.op : AG_LINK_FORKED;
  m.result = how & 2 ? (int64_t)(how & 4 ? 1ull << 63 : 0xfffffffffffffff0ull) : 0;
  if (how & 8) m.seq ^= 1u << (byte() % 32);
  send(peer[id], &m, how & 16 ? byte() % sizeof m : sizeof m, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (session.slot[id].link_fd >= 0 && session.slot[id].role == AG_ZYGOTE) zygote_answered(&session, id);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  int control[2], pipe_fds[2];
  (void)argc;
  (void)argv;
  if (dup2(open("/dev/null", O_RDWR), AG_CONTROL_FD) < 0 || dup2(AG_CONTROL_FD, AG_EVENTS_FD) < 0) abort();
  if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, control) < 0 || pipe2(pipe_fds, O_NONBLOCK) < 0) abort();
  if (dup2(control[1], AG_CONTROL_FD) < 0 || dup2(pipe_fds[1], AG_EVENTS_FD) < 0) abort();
  worker = fcntl(control[0], F_DUPFD, 100);
  completions = fcntl(pipe_fds[0], F_DUPFD, 101);
  for (int i = 5; i < 100; i++) close(i);
  memset(peer, 0xff, sizeof peer);
  return 0;
}

/* Ends the first job that runs. */
static void end_job(int status) {
  job_status = status;
  for (uint32_t job = 0; job < JOBS && job_status != NONE; job++) job_ended(&session, job);
  assert(job_status == NONE);
}

static void run(void) {
  while (at < end) {
    uint8_t kind = byte(), length;
    switch (kind % 6) {
      case 0:
        length = byte();
        if (kind / 6 % 8 > 4)
          spoilt_request(length);
        else
          send_request(at, length < (size_t)(end - at) ? length : (size_t)(end - at), kind / 6 % 8);
        at += length < end - at ? length : end - at;
        break;
      case 1:
        small_request();
        break;
      case 2:
        zygote_answers();
        break;
      case 3:
        kind = byte() % (FAKES + 1);
        if (session.slot[kind].pid_fd >= 0) {
          eventfd_write(session.slot[kind].pid_fd, 1);
          slot_process_ended(&session, kind);
        }
        break;
      case 4:
        slots_tick(&session);
        break;
      default:
        if (jobs) end_job(byte() % 4 - 1);
    }
    drain();
    unsigned waiting = 0;
    for (uint32_t id = 1; id <= FAKES + 1; id++) waiting += session.slot[id].wait_seq != 0;
    assert(waiting == session.busy);
    if (session.greeted) check_ids();
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  bool before[100];
  for (int fd = 5; fd < 100; fd++) before[fd] = fcntl(fd, F_GETFD) >= 0; /* libFuzzer's own */
  memset(&session, 0, sizeof session);
  asked = answered = 0;
  session_start(&session);
  snprintf(session.config.root[0], AG_NAME_MAX, "/");
  session.config.nroots = 1;
  at = data, end = data + size;
  bool fresh = size && *at % 16 == 15; /* a session before HELLO, else one that is under way */
  session.greeted = !fresh;
  if (!fresh) __wrap_ids_start(&session);
  session.network[1] = session.network[2] = fresh ? 0 : AG_NET_OUTBOUND;
  session.code_fd = session.packages_fd = session.base_fd = session.slots_fd = session.proc_fd;
  if (setjmp(ended) == 0) {
    run();
    /* At the end every slot can be destroyed, and every request has had exactly one answer. */
    at = end = data;
    struct ag_request r = {.magic = AG_MAGIC, .version = AG_VERSION, .verb = AG_DESTROY, .seq = 1};
    for (r.slot = 1; session.greeted && r.slot <= FAKES + 1; r.slot++)
      if (session.slot[r.slot].state != SLOT_DESTROYING) send_request(&r, sizeof r, 0);
    for (int i = 0; session.busy && i < 10; i++) slots_tick(&session);
    while (jobs) end_job(0);
    drain();
    if (session.busy || asked != answered)
      fprintf(stderr, "busy %u, %llu asked, %llu answered\n", session.busy, (unsigned long long)asked,
              (unsigned long long)answered);
    assert(session.busy == 0 && asked == answered);
    if (session.greeted) check_ids();
  }
  for (uint32_t id = 1; id <= AG_MAX_SLOTS; id++) {
    assert(!session.greeted || session.slot[id].state == SLOT_FREE || id > FAKES + 1);
    close_scoped(&peer[id]);
  }
  while (read(completions, &(struct ag_completion){0}, sizeof(struct ag_completion)) > 0) continue;
  while (recv(worker, &(char){0}, 1, MSG_DONTWAIT) >= 0 || recv(AG_CONTROL_FD, &(char){0}, 1, MSG_DONTWAIT) > 0)
    continue;
  /* Only the descriptors of session_start() are open: epoll, /proc, /dev/null, the helper's pidfd, signals. */
  int opened = 0;
  for (int fd = 5; fd < 100; fd++)
    if (!before[fd] && fcntl(fd, F_GETFD) >= 0 && close(fd) == 0) opened++;
  assert(opened <= 5 || !session.greeted);
  return 0;
}
