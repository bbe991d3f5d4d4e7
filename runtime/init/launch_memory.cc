#include "runtime/init/launch_memory.h"

#include <sys/mman.h>

#include <cerrno>

namespace crisp::init {
namespace {

constexpr size_t kPage = 4096;

char** Fill(char** to, const PlanView& plan, Span texts) {
  for (uint32_t i = 0; i < texts.count; ++i) {
    *to++ = const_cast<char*>(plan.Text(plan.Items<Str>(texts)[i]));
  }
  *to++ = nullptr;
  return to;
}

}  // namespace

LaunchMemory::~LaunchMemory() {
  if (base_ != nullptr) munmap(base_, size_);
}

int LaunchMemory::Map(const PlanView& plan) {
  const size_t pointers = plan.head->args.count + size_t{plan.head->env.count} + 2;
  size_ = kPage + kStackSize + pointers * sizeof(char*);
  void* base = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) return errno;
  base_ = base;
  if (mprotect(base_, kPage, PROT_NONE) != 0) return errno;
  stack_ = static_cast<char*>(base_) + kPage;
  argv_ = reinterpret_cast<char**>(static_cast<char*>(stack_) + kStackSize);
  envp_ = Fill(argv_, plan, plan.head->args);
  Fill(envp_, plan, plan.head->env);
  return 0;
}

}  // namespace crisp::init
