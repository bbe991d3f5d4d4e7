// crisp-pause: the first process of a pid namespace that the containers of a pod share. It reaps
// what loses its parent, and ends at SIGTERM. No libc: a page of code and a page of stack.
//
// Embedded in crispd (runtime/container/pause_program.cc) and executed from a sealed memfd, because
// others in the pod see it and /proc/1/exe.
#include <linux/wait.h>
#include <signal.h>
#include <sys/syscall.h>

namespace {

#if defined(__x86_64__)
long Call(long number, long a, long b, long c, long d) {
  long result;
  register long r10 asm("r10") = d;
  asm volatile("syscall"
               : "=a"(result)
               : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
               : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
long Call(long number, long a, long b, long c, long d) {
  register long x8 asm("x8") = number;
  register long x0 asm("x0") = a;
  register long x1 asm("x1") = b;
  register long x2 asm("x2") = c;
  register long x3 asm("x3") = d;
  asm volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
  return x0;
}
#else
#error "crisp_pause.cc: no system call for this architecture"
#endif

using Mask = unsigned long;
constexpr long kMaskSize = sizeof(Mask);
constexpr Mask Bit(int sig) { return Mask{1} << (sig - 1); }

void Reap() {
  while (Call(SYS_wait4, -1, 0, WNOHANG | __WALL, 0) > 0) {
  }
}

}  // namespace

// Blocked signals are kept even for the first process of a namespace, whose unhandled ones are
// dropped otherwise.
extern "C" [[noreturn]] void _start() {
  const Mask all = ~Mask{0};
  const Mask awaited = Bit(SIGTERM) | Bit(SIGINT) | Bit(SIGCHLD);
  Call(SYS_rt_sigprocmask, SIG_BLOCK, reinterpret_cast<long>(&all), 0, kMaskSize);
  for (;;) {
    Reap();
    const long sig = Call(SYS_rt_sigtimedwait, reinterpret_cast<long>(&awaited), 0, 0, kMaskSize);
    if (sig == SIGTERM || sig == SIGINT) break;
  }
  for (;;) Call(SYS_exit_group, 0, 0, 0, 0);
}
