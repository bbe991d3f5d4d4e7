#include "runtime/keeper/slot_table.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace crisp::keeper {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW;

int FillHead(int fd) {
  alignas(TableHead) char bytes[16] = {};
  const uint32_t words[] = {kMagic, (uint32_t{kMinor} << 16) | kMajor, sizeof(Slot), kSlots};
  static_assert(sizeof(words) == sizeof(bytes) && offsetof(TableHead, high_water) == 16);
  memcpy(bytes, words, sizeof(bytes));
  if (ftruncate(fd, sizeof(SlotTable)) != 0) return errno;
  if (pwrite(fd, bytes, sizeof(bytes), 0) != static_cast<ssize_t>(sizeof(bytes))) return EIO;
  return fcntl(fd, F_ADD_SEALS, kSeals) == 0 ? 0 : errno;
}

}  // namespace

int CreateTable() {
  const int fd = memfd_create("crisp-slots", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return -errno;
  const int err = FillHead(fd);
  if (err == 0) return fd;
  close(fd);
  return -err;
}

int MapTable(int fd, SlotTable** table) {
  struct stat info;
  if (fstat(fd, &info) != 0) return errno;
  const int seals = fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals) return EPERM;
  if (info.st_size != static_cast<off_t>(sizeof(SlotTable))) return EPROTO;
  void* place = mmap(nullptr, sizeof(SlotTable), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (place == MAP_FAILED) return errno;
  auto* mapped = static_cast<SlotTable*>(place);
  const TableHead& head = mapped->head;
  if (head.magic != kMagic || head.major != kMajor || head.slot_size != sizeof(Slot) ||
      head.slots != kSlots || head.high_water.load() > kSlots) {
    munmap(place, sizeof(SlotTable));
    return EPROTO;
  }
  *table = mapped;
  return 0;
}

void UnmapTable(SlotTable* table) {
  if (table) munmap(table, sizeof(SlotTable));
}

void ClearSlot(Slot& slot) {
  slot.state.store(SlotState::kFree, std::memory_order_release);
  slot.acked.store(0, std::memory_order_release);
  slot.id[0] = '\0';
}

}  // namespace crisp::keeper
