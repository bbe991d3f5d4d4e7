#include "runtime/stats/parse.h"

#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"

namespace crisp::runtime {
namespace {

constexpr size_t kMaxDevices = 256;
constexpr size_t kMaxInterfaces = 256;

// The next line of `text`, which is shortened by it. False at the end.
bool NextLine(absl::string_view* text, absl::string_view* line) {
  if (text->empty()) return false;
  const size_t end = text->find('\n');
  *line = text->substr(0, end);
  text->remove_prefix(end == absl::string_view::npos ? text->size() : end + 1);
  return true;
}

// The next word of `line`, which is shortened by it; "" at the end.
absl::string_view NextWord(absl::string_view* line) {
  const size_t begin = line->find_first_not_of(" \t");
  if (begin == absl::string_view::npos) return *line = {};
  line->remove_prefix(begin);
  const size_t end = line->find_first_of(" \t");
  const absl::string_view word = line->substr(0, end);
  line->remove_prefix(word.size());
  return word;
}

// Digits only, as the kernel writes them. False for anything else and for an overflow.
bool Digits(absl::string_view text, uint64_t* value) {
  if (text.empty() || text.size() > 20) return false;
  uint64_t sum = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    if (__builtin_mul_overflow(sum, uint64_t{10}, &sum) ||
        __builtin_add_overflow(sum, static_cast<uint64_t>(c - '0'), &sum))
      return false;
  }
  *value = sum;
  return true;
}

// "8:0"
bool Device(absl::string_view text, DeviceIo* io) {
  const size_t colon = text.find(':');
  if (colon == absl::string_view::npos) return false;
  return absl::SimpleAtoi(text.substr(0, colon), &io->major) &&
         absl::SimpleAtoi(text.substr(colon + 1), &io->minor);
}

DeviceIo* Entry(std::vector<DeviceIo>* all, const DeviceIo& key) {
  for (DeviceIo& io : *all)
    if (io.major == key.major && io.minor == key.minor) return &io;
  if (all->size() >= kMaxDevices) return nullptr;
  all->push_back({key.major, key.minor});
  return &all->back();
}

void AddBlkio(absl::string_view text, uint64_t DeviceIo::*read, uint64_t DeviceIo::*write,
              std::vector<DeviceIo>* all) {
  for (absl::string_view line; NextLine(&text, &line);) {
    DeviceIo key;
    if (!Device(NextWord(&line), &key)) continue;  // "Total 12" ends the file
    const absl::string_view operation = NextWord(&line);
    const auto target = operation == "Read" ? read : operation == "Write" ? write : nullptr;
    uint64_t value = 0;
    if (target == nullptr || !Digits(NextWord(&line), &value)) continue;
    if (DeviceIo* io = Entry(all, key)) io->*target = value;
  }
}

bool ParsePsiLine(absl::string_view line, PsiLine* out) {
  const struct {
    const char* key;
    double* value;
  } averages[] = {{"avg10=", &out->avg10}, {"avg60=", &out->avg60}, {"avg300=", &out->avg300}};
  for (const auto& average : averages) {
    absl::string_view word = NextWord(&line);
    double value = 0;
    // from_chars-like strictness: no "nan", no sign.
    if (!absl::ConsumePrefix(&word, average.key) || word.empty() ||
        word.find_first_not_of("0123456789.") != absl::string_view::npos ||
        !absl::SimpleAtod(word, &value))
      return false;
    *average.value = value;
  }
  absl::string_view word = NextWord(&line);
  uint64_t micros = 0;
  if (!absl::ConsumePrefix(&word, "total=") || !Digits(word, &micros)) return false;
  out->total_nanos = micros * 1000;
  return true;
}

}  // namespace

std::optional<uint64_t> ParseNumber(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  if (text == "max") return kNoLimit;
  uint64_t value = 0;
  if (!Digits(text, &value)) return std::nullopt;
  return value;
}

bool ParseKeyed(absl::string_view text, std::initializer_list<Wanted> wanted) {
  bool any = false;
  for (absl::string_view line; NextLine(&text, &line);) {
    const absl::string_view name = line.substr(0, line.find(' '));
    for (const Wanted& one : wanted) {
      if (one.name != name) continue;
      line.remove_prefix(std::min(line.size(), name.size() + 1));
      any |= Digits(line, one.value);
      break;
    }
  }
  return any;
}

std::optional<Psi> ParsePsi(absl::string_view text) {
  Psi psi;
  bool some = false;
  for (absl::string_view line; NextLine(&text, &line);) {
    const absl::string_view kind = NextWord(&line);
    if (kind == "some") some = ParsePsiLine(line, &psi.some);
    // Kernels before 5.13 have no "full" line for the CPU.
    if (kind == "full" && !ParsePsiLine(line, &psi.full)) return std::nullopt;
  }
  if (!some) return std::nullopt;
  return psi;
}

std::vector<DeviceIo> ParseBlkio(absl::string_view bytes, absl::string_view operations) {
  std::vector<DeviceIo> all;
  AddBlkio(bytes, &DeviceIo::read_bytes, &DeviceIo::write_bytes, &all);
  AddBlkio(operations, &DeviceIo::reads, &DeviceIo::writes, &all);
  return all;
}

std::vector<DeviceIo> ParseIoStat(absl::string_view text) {
  std::vector<DeviceIo> all;
  for (absl::string_view line; NextLine(&text, &line) && all.size() < kMaxDevices;) {
    DeviceIo io;
    if (!Device(NextWord(&line), &io)) continue;
    bool any = false;
    for (absl::string_view word = NextWord(&line); !word.empty(); word = NextWord(&line)) {
      if (absl::ConsumePrefix(&word, "rbytes=")) any |= Digits(word, &io.read_bytes);
      if (absl::ConsumePrefix(&word, "wbytes=")) any |= Digits(word, &io.write_bytes);
      if (absl::ConsumePrefix(&word, "rios=")) any |= Digits(word, &io.reads);
      if (absl::ConsumePrefix(&word, "wios=")) any |= Digits(word, &io.writes);
    }
    if (any) all.push_back(io);
  }
  return all;
}

std::vector<InterfaceUsage> ParseNetDev(absl::string_view text) {
  std::vector<InterfaceUsage> all;
  for (absl::string_view line; NextLine(&text, &line) && all.size() < kMaxInterfaces;) {
    // The name may hold a colon of an alias; the last one before the numbers ends it.
    const size_t colon = line.rfind(':');
    if (colon == absl::string_view::npos) continue;  // the two lines of the heading
    std::array<uint64_t, 16> field{};
    absl::string_view numbers = line.substr(colon + 1);
    size_t count = 0;
    while (count < field.size() && Digits(NextWord(&numbers), &field[count])) ++count;
    const absl::string_view name = absl::StripAsciiWhitespace(line.substr(0, colon));
    if (count < field.size() || name.empty() || name == "lo") continue;
    all.push_back({std::string(name), field[0], field[1], field[2], field[3], field[8], field[9],
                   field[10], field[11]});
  }
  return all;
}

std::optional<uint64_t> ParseSocketsUsed(absl::string_view text) {
  for (absl::string_view line; NextLine(&text, &line);) {
    uint64_t value = 0;
    if (NextWord(&line) == "sockets:" && NextWord(&line) == "used" &&
        Digits(NextWord(&line), &value))
      return value;
  }
  return std::nullopt;
}

std::vector<int> ParsePids(absl::string_view text, size_t limit) {
  std::vector<int> pids;
  for (absl::string_view line; pids.size() < limit && NextLine(&text, &line);) {
    int pid = 0;
    if (absl::SimpleAtoi(line, &pid) && pid >= 0) pids.push_back(pid);
  }
  return pids;
}

}  // namespace crisp::runtime
