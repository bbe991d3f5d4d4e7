#include "runtime/keeper/pidfd_proc.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

#include "runtime/sys/fd.h"
#include "runtime/sys/retry.h"

namespace crisp::keeper {
namespace {

constexpr int kStatExitCode = 52;

// A short path built from constants and numbers.
class Path {
 public:
  Path& Add(const char* text) {
    for (; *text && size_ < sizeof(text_) - 1; ++text) text_[size_++] = *text;
    return *this;
  }
  Path& Add(int number) {
    char digits[12];
    int n = 0;
    do digits[n++] = static_cast<char>('0' + number % 10);
    while ((number /= 10) > 0);
    while (n > 0 && size_ < sizeof(text_) - 1) text_[size_++] = digits[--n];
    return *this;
  }
  const char* c_str() const { return text_; }

 private:
  char text_[80] = {};
  size_t size_ = 0;
};

// Reads a small /proc file as a NUL-terminated text.
bool ReadText(const char* path, char* out, size_t capacity) {
  UniqueFd file(open(path, O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return false;
  const ssize_t n = sys::Retry([&] { return read(file.get(), out, capacity - 1); });
  out[n > 0 ? n : 0] = '\0';
  return n > 0;
}

// A decimal number with sign; false if there is none.
bool ParseNumber(const char* text, long* out) {
  const bool negative = *text == '-';
  if (negative) ++text;
  long value = 0;
  int digits = 0;
  for (; *text >= '0' && *text <= '9' && digits < 18; ++text, ++digits)
    value = value * 10 + (*text - '0');
  *out = negative ? -value : value;
  return digits > 0;
}

}  // namespace

pid_t PidOfPidfd(pid_t tid, int pidfd) {
  Path path;
  path.Add("/proc/self/");
  if (tid > 0) path.Add("task/").Add(tid).Add("/");
  path.Add("fdinfo/").Add(pidfd);
  char text[512];
  if (!ReadText(path.c_str(), text, sizeof(text))) return -1;
  const char* line = strstr(text, "\nPid:\t");
  long pid = -1;
  if (!line || !ParseNumber(line + 6, &pid)) return -1;
  return pid > 0 ? static_cast<pid_t>(pid) : -1;
}

int ParseZombieStat(const char* text, int* wait_status) {
  // "pid (comm) state ..."; comm may hold anything, so the fields start after the last ')'.
  const char* field = strrchr(text, ')');
  if (!field || field[1] != ' ' || field[2] != 'Z') return ESRCH;
  field += 2;
  for (int number = 3; number < kStatExitCode; ++number) {
    field = strchr(field, ' ');
    if (!field) return ENODATA;
    ++field;
  }
  long value = 0;
  if (!ParseNumber(field, &value) || value < 0 || value > 0xffff) return ENODATA;
  *wait_status = static_cast<int>(value);
  return 0;
}

int ZombieStatus(pid_t pid, int* wait_status) {
  Path path;
  path.Add("/proc/").Add(pid).Add("/stat");
  char text[1024];
  if (!ReadText(path.c_str(), text, sizeof(text))) return ESRCH;
  return ParseZombieStat(text, wait_status);
}

}  // namespace crisp::keeper
