#include "cri/cli/output.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "runtime/base/files.h"
#include "runtime/base/json.h"

namespace crisp::cli {
namespace {

// The terminal's width of UTF-8 text, near enough: one column a code point.
size_t Width(absl::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

}  // namespace

void Print(absl::string_view text) { (void)WriteAll(1, text); }

std::string Printable(absl::string_view text) {
  std::string clean(text);
  for (char& c : clean)
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) c = '?';
  return clean;
}

std::string Table::Text() const {
  std::vector<size_t> widths(rows_[0].size());
  for (const auto& row : rows_)
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Width(row[i]));
  std::string text;
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) {
      absl::StrAppend(&text, Printable(row[i]));
      if (i + 1 < row.size()) text.append(widths[i] - Width(row[i]) + 3, ' ');
    }
    text.push_back('\n');
  }
  return text;
}

std::string Age(int64_t nanos, int64_t now_nanos) {
  if (nanos <= 0) return "-";
  const int64_t seconds = std::max<int64_t>(0, (now_nanos - nanos) / 1'000'000'000);
  if (seconds < 120) return absl::StrCat(seconds, "s");
  if (seconds < 120 * 60) return absl::StrCat(seconds / 60, "m");
  if (seconds < 48 * 3600) return absl::StrCat(seconds / 3600, "h");
  return absl::StrCat(seconds / 86400, "d");
}

std::string Size(uint64_t bytes) {
  constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1000 && unit + 1 < std::size(kUnits); ++unit) value /= 1000;
  // Two calls: clang checks formats only as literals.
  if (unit == 0) return absl::StrFormat("%.0f%s", value, kUnits[unit]);
  return absl::StrFormat("%.3g%s", value, kUnits[unit]);
}

std::string ShortId(absl::string_view id) {
  absl::ConsumePrefix(&id, "sha256:");
  return std::string(id.substr(0, 13));
}

std::string ShortIdIfDigest(const std::string& image) {
  return absl::StartsWith(image, "sha256:") ? ShortId(image) : image;
}

std::string JsonText(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  std::string text;
  if (!google::protobuf::util::MessageToJsonString(message, &text, options).ok()) text = "{}\n";
  return text;
}

std::string InspectText(const google::protobuf::Message& status,
                        const std::map<std::string, std::string>& info) {
  Json object = Json::object();
  const auto parsed = ParseJson(JsonText(status));
  object["status"] = parsed.ok() ? *parsed : Json::object();
  for (const auto& [key, value] : info) {
    const auto json = ParseJson(value);
    object["info"][key] = json.ok() ? *json : Json(value);
  }
  return object.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace crisp::cli
