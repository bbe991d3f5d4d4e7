#include "runtime/init/launch_memory.h"

#include <sys/mman.h>

#include <cerrno>

namespace crisp::init {
namespace {

constexpr size_t kPage = 4096;

struct Region {
  char* base = nullptr;
  size_t size = 0;
};
thread_local Region region;

int Grow(size_t size) {
  if (region.size >= size) return 0;
  if (region.base != nullptr) munmap(region.base, region.size);
  region = {};
  void* base = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) return errno;
  if (mprotect(base, kPage, PROT_NONE) != 0 || madvise(base, size, MADV_DONTFORK) != 0) {
    const int err = errno;
    munmap(base, size);
    return err;
  }
  region = {static_cast<char*>(base), size};
  return 0;
}

char** Fill(char** to, const PlanView& plan, Span texts) {
  for (uint32_t i = 0; i < texts.count; ++i) {
    *to++ = const_cast<char*>(plan.Text(plan.Items<Str>(texts)[i]));
  }
  *to++ = nullptr;
  return to;
}

}  // namespace

LaunchMemory::~LaunchMemory() {
  if (copied_ && region.base != nullptr) madvise(region.base, region.size, MADV_DONTFORK);
}

int LaunchMemory::Map(const PlanView& plan) {
  const size_t pointers = plan.head->args.count + size_t{plan.head->env.count} + 2;
  const size_t size = kPage + kStackSize + pointers * sizeof(char*);
  if (const int err = Grow((size + kPage - 1) / kPage * kPage)) return err;
  if (copied_ && madvise(region.base, region.size, MADV_DOFORK) != 0) return errno;
  argv_ = reinterpret_cast<char**>(region.base + kPage + kStackSize);
  envp_ = Fill(argv_, plan, plan.head->args);
  Fill(envp_, plan, plan.head->env);
  return 0;
}

void* LaunchMemory::stack() const { return region.base + kPage; }

}  // namespace crisp::init
