// clone3 with a stack of its own for a child that shares our memory.
#pragma once

#include "runtime/sys/clone.h"

namespace crisp::init {

// The child runs entry(argument) on the stack given in `args` and must not return from it.
// Not a function of libc: a child that returned from syscall(2) on a new stack would find no return
// address there.
inline long CloneOnStack(sys::CloneArgs* args, void (*entry)(void*), void* argument) {
#if defined(__x86_64__)
  long result;
  asm volatile(
      "syscall\n\t"
      "test %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "xor %%ebp, %%ebp\n\t"
      "mov %[argument], %%rdi\n\t"
      "call *%[entry]\n\t"
      "hlt\n"
      "1:"
      : "=a"(result)
      : "0"(static_cast<long>(SYS_clone3)), "D"(args),
        "S"(sizeof(*args)), [entry] "r"(entry), [argument] "r"(argument)
      : "rcx", "r11", "memory", "cc");
  return result;  // the pid or -errno
#elif defined(__aarch64__)
  register long number asm("x8") = SYS_clone3;
  register long x0 asm("x0") = reinterpret_cast<long>(args);
  register long x1 asm("x1") = sizeof(*args);
  register void (*x9)(void*) asm("x9") = entry;
  register void* x10 asm("x10") = argument;
  asm volatile(
      "svc #0\n\t"
      "cbnz x0, 1f\n\t"
      "mov x29, xzr\n\t"
      "mov x0, x10\n\t"
      "blr x9\n\t"
      "brk #0\n"
      "1:"
      : "+r"(x0)
      : "r"(number), "r"(x1), "r"(x9), "r"(x10)
      : "memory", "cc", "x30");
  return x0;
#else
#error "clone_on_stack.h: no trampoline for this architecture"
#endif
}

}  // namespace crisp::init
