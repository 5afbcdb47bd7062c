// Measures one isolation primitive of Linux. Each operation makes a child with it and waits for the child's end.
//
//   primitives OP WORKERS OPS [CGROUP_DIR]
//
// WORKERS concurrent processes each do OPS operations. Prints the mean time of one operation in ms, as {"ms": 1.23}.
// Exits with 1 and a message when the kernel refuses an operation. Needs root.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum kind { PLAIN, CHROOT, CGROUP_NEW, CGROUP_REUSE };

struct op {
  const char *name;
  enum kind kind;
  int flags;
};

static const struct op OPS[] = {
    {"fork", PLAIN, 0},
    {"pid", PLAIN, CLONE_NEWPID},
    {"ipc", PLAIN, CLONE_NEWIPC},
    {"uts", PLAIN, CLONE_NEWUTS},
    {"mount", PLAIN, CLONE_NEWNS},
    {"user", PLAIN, CLONE_NEWUSER},
    {"net", PLAIN, CLONE_NEWNET},
    {"chroot", CHROOT, 0},
    {"cgroup-new", CGROUP_NEW, 0},
    {"cgroup-reuse", CGROUP_REUSE, 0},
};

static void die(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static double now_ms(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec * 1e3 + at.tv_nsec / 1e6;
}

// Uses v1's tasks if it exists. A process that moves itself by tasks does not take the lock over all forks. The wait
// for that lock is about 10 ms, which would hide the cost of the cgroup itself.
static int enter_cgroup(const char *dir) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/tasks", dir);
  if (access(path, F_OK) != 0) snprintf(path, sizeof path, "%s/cgroup.procs", dir);
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  return fd >= 0 && write(fd, "0", 1) == 1 ? 0 : -1;
}

static void remove_cgroup(const char *dir) {
  // The kernel may still be removing the last member.
  while (rmdir(dir) != 0) {
    if (errno != EBUSY) die("rmdir of a cgroup");
    sched_yield();
  }
}

static void once(const struct op *op, const char *cgroup) {
  if (op->kind == CGROUP_NEW && mkdir(cgroup, 0700) != 0) die("mkdir of a cgroup");
  // A direct system call: the child shares nothing, and glibc's fork handlers would only add time.
  long pid = syscall(SYS_clone, op->flags | SIGCHLD, 0, 0, 0, 0);
  if (pid < 0) die(op->name);
  if (pid == 0) {
    int failed = 0;
    if (op->kind == CHROOT) failed = chroot("/usr") != 0 || chdir("/") != 0;
    if (op->kind == CGROUP_NEW || op->kind == CGROUP_REUSE) failed = enter_cgroup(cgroup);
    _exit(failed ? 1 : 0);
  }
  int status;
  if (waitpid((pid_t)pid, &status, 0) != pid) die("waitpid");
  if (op->kind == CGROUP_NEW) remove_cgroup(cgroup);
  if (status != 0) {
    fprintf(stderr, "%s: the child was refused\n", op->name);
    exit(1);
  }
}

static double work(const struct op *op, int count, const char *cgroup_dir, int worker) {
  char cgroup[PATH_MAX];
  snprintf(cgroup, sizeof cgroup, "%s/worker-%d", cgroup_dir, worker);
  if (op->kind == CGROUP_REUSE && mkdir(cgroup, 0700) != 0) die("mkdir of a cgroup");
  double started = now_ms();
  for (int i = 0; i < count; i++) once(op, cgroup);
  double each = (now_ms() - started) / count;
  if (op->kind == CGROUP_REUSE) remove_cgroup(cgroup);
  return each;
}

int main(int argc, char **argv) {
  const struct op *op = NULL;
  for (size_t i = 0; argc > 3 && i < sizeof OPS / sizeof *OPS; i++)
    if (strcmp(OPS[i].name, argv[1]) == 0) op = &OPS[i];
  int workers = argc > 3 ? atoi(argv[2]) : 0, count = argc > 3 ? atoi(argv[3]) : 0;
  if (op == NULL || workers < 1 || workers > 64 || count < 1 || (op->kind >= CGROUP_NEW && argc < 5)) {
    fprintf(stderr, "usage: primitives OP WORKERS(1..64) OPS [CGROUP_DIR]\n");
    return 2;
  }
  double *each = mmap(NULL, sizeof(double) * 64, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  int gate[2];
  if (each == MAP_FAILED || pipe(gate) != 0) die("set-up");
  for (int i = 0; i < workers; i++) {
    pid_t pid = fork();
    if (pid < 0) die("fork");
    if (pid > 0) continue;
    char end;
    close(gate[1]);
    // All processes start together, when the parent closes its end.
    if (read(gate[0], &end, 1) != 0) _exit(1);
    each[i] = work(op, count, argc > 4 ? argv[4] : "", i);
    exit(0);
  }
  close(gate[0]);
  close(gate[1]);
  int failed = 0;
  for (int i = 0, status; i < workers; i++)
    if (wait(&status) < 0 || status != 0) failed = 1;
  if (failed) return 1;
  double sum = 0;
  for (int i = 0; i < workers; i++) sum += each[i];
  printf("{\"ms\": %.6f}\n", sum / workers);
  return 0;
}
