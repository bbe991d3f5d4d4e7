#include "runtime/keeper/seal_self.h"

#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include <cerrno>

#include "runtime/sys/fd.h"
#include "runtime/sys/retry.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U  // 6.3: says that the memfd is meant to be executed
#endif

namespace crisp::keeper {
namespace {

constexpr int kSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

int MakeCopy() {
  const int copy = memfd_create("crisp-keeper", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
  if (copy >= 0 || errno != EINVAL) return copy;
  return memfd_create("crisp-keeper", MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

// How much of the file the kernel loads. What follows (symbols, debug information) would only take
// memory.
off_t LoadedSize() {
  const auto* header = reinterpret_cast<const ElfW(Phdr)*>(getauxval(AT_PHDR));
  uint64_t end = 0;
  for (unsigned long i = 0; i < getauxval(AT_PHNUM); ++i) {
    const uint64_t mine = header[i].p_offset + header[i].p_filesz;
    if (header[i].p_type == PT_LOAD && mine > end) end = mine;
  }
  return static_cast<off_t>(end);
}

bool CopyLoaded(int from, int to) {
  for (off_t left = LoadedSize(); left > 0;) {
    const ssize_t n =
        sys::Retry([&] { return sendfile(to, from, nullptr, static_cast<size_t>(left)); });
    if (n <= 0) return false;
    left -= n;
  }
  return true;
}

}  // namespace

int RunFromSealedCopy(char** argv) {
  UniqueFd self(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  if (!self.valid()) return errno;
  const int seals = fcntl(self.get(), F_GET_SEALS);
  if (seals >= 0 && (seals & kSeals) == kSeals) return 0;
  UniqueFd copy(MakeCopy());
  if (!copy.valid()) return errno;
  if (!CopyLoaded(self.get(), copy.get())) return errno ? errno : EIO;
  if (fcntl(copy.get(), F_ADD_SEALS, kSeals) != 0) return errno;
  char* const no_environment[] = {nullptr};
  fexecve(copy.get(), argv, no_environment);
  return errno;
}

}  // namespace crisp::keeper
