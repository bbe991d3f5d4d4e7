#include "imageservice/registry/challenge.h"

#include "absl/strings/ascii.h"
#include "absl/strings/strip.h"

namespace crisp::image {
namespace {

constexpr size_t kMaxHeader = 16 << 10;
constexpr size_t kMaxChallenges = 8;
constexpr size_t kMaxParams = 16;

bool IsTokenChar(char c) {
  constexpr absl::string_view kExtra = "!#$%&'*+-.^_`|~";
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
         kExtra.find(c) != absl::string_view::npos;
}

void SkipBlanks(absl::string_view* text) {
  while (!text->empty() && (text->front() == ' ' || text->front() == '\t')) text->remove_prefix(1);
}

std::string TakeToken(absl::string_view* text) {
  size_t size = 0;
  while (size < text->size() && IsTokenChar((*text)[size])) ++size;
  std::string token(text->substr(0, size));
  text->remove_prefix(size);
  return token;
}

// "quoted \"text\"" or a token.
bool TakeValue(absl::string_view* text, std::string* value) {
  value->clear();
  if (!absl::ConsumePrefix(text, "\"")) {
    *value = TakeToken(text);
    return !value->empty();
  }
  while (!text->empty()) {
    char c = text->front();
    text->remove_prefix(1);
    if (c == '"') return true;
    if (c == '\\') {
      if (text->empty()) return false;
      c = text->front();
      text->remove_prefix(1);
    }
    value->push_back(c);
  }
  return false;
}

// One "name=value"; leaves the text alone when it is the next scheme instead.
bool TakeParam(absl::string_view* text, Challenge* challenge) {
  absl::string_view rest = *text;
  SkipBlanks(&rest);
  const std::string name = TakeToken(&rest);
  SkipBlanks(&rest);
  if (name.empty() || !absl::ConsumePrefix(&rest, "=")) return false;
  SkipBlanks(&rest);
  std::string value;
  if (!TakeValue(&rest, &value)) return false;
  challenge->params.emplace(absl::AsciiStrToLower(name), std::move(value));
  *text = rest;
  return true;
}

void SkipComma(absl::string_view* text) {
  SkipBlanks(text);
  while (absl::ConsumePrefix(text, ",")) SkipBlanks(text);
}

}  // namespace

std::vector<Challenge> ParseChallenges(absl::string_view header) {
  std::vector<Challenge> challenges;
  absl::string_view rest = header.substr(0, kMaxHeader);
  SkipComma(&rest);
  while (!rest.empty() && challenges.size() < kMaxChallenges) {
    Challenge challenge;
    challenge.scheme = absl::AsciiStrToLower(TakeToken(&rest));
    if (challenge.scheme.empty()) break;
    SkipBlanks(&rest);
    while (challenge.params.size() < kMaxParams && TakeParam(&rest, &challenge)) SkipComma(&rest);
    challenges.push_back(std::move(challenge));
  }
  return challenges;
}

}  // namespace crisp::image
