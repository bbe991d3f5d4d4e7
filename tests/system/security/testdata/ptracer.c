// A container that lies in wait for processes that enter its pid namespace: stops each at once, by its number, which is the next one,
// and while it is not yet the program that it is to become, looks at it, writes into its memory or kills it.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

static char path[256], text[4096];

static const char* file(int pid, const char* name) {
  snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
  return path;
}

static const char* content_of(const char* name) {
  int fd = open(name, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
  text[n < 0 ? 0 : n] = 0;
  if (fd >= 0) close(fd);
  return text;
}

static const char* content(int pid, const char* name) { return content_of(file(pid, name)); }

static int stopped(int pid) {
  for (int i = 0; i < 100000; ++i) {
    const char* state = strrchr(content(pid, "stat"), ')');
    if (!state) return 0;
    if (state[2] == 'T') return 1;
    if (state[2] == 'Z' || state[2] == 'X') return 0;
  }
  return 0;
}

// Still what the keeper is, not yet its own program.
static int early(int pid) {
  ssize_t n = readlink(file(pid, "exe"), text, sizeof(text) - 1);
  text[n < 0 ? 0 : n] = 0;
  return strstr(text, "memfd:") != NULL;
}

// What it holds, and whether a descriptor of it leads out.
static void look(int pid, const char* canary) {
  int pidfd = syscall(SYS_pidfd_open, pid, 0);
  for (int n = 3; n < 256; ++n) {
    char name[32], to[512];
    snprintf(name, sizeof(name), "fd/%d", n);
    ssize_t length = readlink(file(pid, name), to, sizeof(to) - 1);
    if (length < 0) continue;
    to[length] = 0;
    printf("fd %s\n", strncmp(to, "pipe:", 5) == 0 ? "pipe" : to);
    int mine = syscall(SYS_pidfd_getfd, pidfd, n, 0);
    if (mine < 0) continue;
    for (int up = 0; up < 2; ++up) {
      snprintf(path, sizeof(path), "%s%s", up ? "../../../../../../../.." : "1/root", canary);
      int found = openat(mine, path, O_RDONLY | O_CLOEXEC);
      if (found >= 0) printf("ESCAPE through %s\n", to);
      if (found >= 0) close(found);
    }
    close(mine);
  }
  close(pidfd);
  const char* caps = strstr(content(pid, "status"), "CapPrm:");
  if (caps) printf("caps %.16s\n", caps + 8);
}

static void scribble(int pid) {
  static char garbage[4096];
  memset(garbage, 0x41, sizeof(garbage));
  FILE* maps = fopen(file(pid, "maps"), "r");
  unsigned long from, to, done = 0;
  char mode[8], line[512];
  while (maps && fgets(line, sizeof(line), maps)) {
    if (sscanf(line, "%lx-%lx %7s", &from, &to, mode) != 3 || mode[1] != 'w') continue;
    for (; from < to; from += sizeof(garbage)) {
      struct iovec ours = {garbage, sizeof(garbage)}, its = {(void*)from, sizeof(garbage)};
      if (syscall(SYS_process_vm_writev, pid, &ours, 1L, &its, 1L, 0L) > 0) ++done;
    }
  }
  if (maps) fclose(maps);
  printf("wrote %s\n", done ? "memory" : "nothing");
}

static void trace(int pid) {
  if (ptrace(PTRACE_SEIZE, pid, 0, 0) != 0) return;
  ptrace(PTRACE_INTERRUPT, pid, 0, 0);
  waitpid(pid, NULL, __WALL | WNOHANG);
  ptrace(PTRACE_DETACH, pid, 0, 0);
  printf("traced\n");
}

// Of each new process that is still the keeper's program: does it share the keeper's memory? Without touching it.
static void compare(int keeper) {
  for (int next = getpid() + 1;;) {
    for (int guess = next; guess < next + 16; ++guess) {
      long result = syscall(SYS_kcmp, keeper, guess, 1L /* KCMP_VM */, 0L, 0L);
      if (result < 0) continue;
      next = guess + 1;
      const char* group = strstr(content(guess, "status"), "Tgid:");
      if (!group || atoi(group + 5) != guess) continue;  // a thread
      if (result == 0) printf("SHARED\n");
      if (result > 0 && early(guess)) printf("own\n");
    }
    const char* last = strrchr(content_of("/proc/loadavg"), ' ');
    if (last && atoi(last) >= next + 16) next = atoi(last) + 1;
  }
}

int main(int argc, char** argv) {
  const char* mode = argv[1];  // of: l(ook) w(rite) t(race) k(ill) s(top and leave), in turn
  setvbuf(stdout, NULL, _IOLBF, 0);
  printf("ready\n");
  if (strcmp(mode, "compare") == 0) compare(atoi(argv[2]));
  int next = getpid() + 1;
  for (unsigned turn = 0, idle = 0;;) {
    int pid = 0;
    for (int guess = next; guess < next + 16 && !pid; ++guess)
      if (kill(guess, SIGSTOP) == 0) pid = guess;
    if (!pid) {  // more may have passed by than were tried
      const char* last = ++idle % 256 == 0 ? strrchr(content_of("/proc/loadavg"), ' ') : NULL;
      if (last && atoi(last) >= next) next = atoi(last) + 1;
      continue;
    }
    next = pid + 1;
    if (!stopped(pid) || !early(pid)) {
      printf("late\n");
      kill(pid, SIGCONT);
      continue;
    }
    const char what = mode[turn++ % strlen(mode)];
    printf("caught %c\n", what);
    if (what == 'l') look(pid, argv[2]);
    if (what == 'w') scribble(pid);
    if (what == 't') trace(pid);
    if (what == 'k') kill(pid, SIGKILL);
    if (what != 's') kill(pid, SIGCONT);
  }
}
