#include <signal.h>

#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_replace.h"
#include "cri/translate/container_spec.h"

namespace crisp::cri {
namespace {

// Second names, which sigabbrev_np does not have.
constexpr std::pair<const char*, int> kAliases[] = {
    {"CLD", SIGCHLD}, {"IOT", SIGABRT}, {"IO", SIGIO}, {"POLL", SIGPOLL}};

// "RTMIN", "RTMIN+3", "RTMAX-2"; 0 if it is none of these.
int RealTimeSignal(const std::string& name) {
  const bool from_min = absl::StartsWith(name, "RTMIN"), from_max = absl::StartsWith(name, "RTMAX");
  if (!from_min && !from_max) return 0;
  int offset = 0;
  const std::string rest = name.substr(5);
  if (!rest.empty() && (rest.size() < 2 || rest[0] != (from_min ? '+' : '-') ||
                        rest.find_first_not_of("0123456789", 1) != std::string::npos ||
                        !absl::SimpleAtoi(rest.substr(1), &offset))) {
    return 0;
  }
  const int number = from_min ? SIGRTMIN + offset : SIGRTMAX - offset;
  return number >= SIGRTMIN && number <= SIGRTMAX ? number : 0;
}

StatusOr<int> ParseSignal(const std::string& field, const std::string& text) {
  int number = 0;
  if (!text.empty() && text.find_first_not_of("0123456789") == std::string::npos) {
    if (text.size() <= 2 && absl::SimpleAtoi(text, &number) && number >= 1 && number <= SIGRTMAX)
      return number;
    return InvalidField(field, text, "not a signal number of 1 to 64");
  }
  // Docker takes either case, so images have both.
  std::string name = absl::AsciiStrToUpper(text);
  if (absl::StartsWith(name, "SIG")) name.erase(0, 3);
  for (const auto& [alias, number_of_alias] : kAliases) {
    if (name == alias) return number_of_alias;
  }
  for (int one = 1; one < SIGRTMIN; ++one) {
    const char* abbreviation = sigabbrev_np(one);
    if (abbreviation != nullptr && name == abbreviation) return one;
  }
  number = RealTimeSignal(name);
  if (number == 0) return InvalidField(field, text, "not a signal");
  return number;
}

}  // namespace

StatusOr<int> StopSignalOf(const v1::ContainerConfig& config, const image::ImageConfig& image) {
  if (config.stop_signal() != v1::SIGNAL_RUNTIME_DEFAULT) {
    const std::string name = v1::Signal_Name(config.stop_signal());
    if (name.empty()) {
      return InvalidField("config.stop_signal", absl::StrCat(config.stop_signal()), "not a signal");
    }
    return ParseSignal(
        "config.stop_signal",
        absl::StrReplaceAll(name, {{"SIGNAL_", ""}, {"MINPLUS", "MIN+"}, {"MAXMINUS", "MAX-"}}));
  }
  if (image.stop_signal.empty()) return SIGTERM;
  return ParseSignal("stop signal of the image", image.stop_signal);
}

}  // namespace crisp::cri
