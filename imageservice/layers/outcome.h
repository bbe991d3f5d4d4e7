// Errors of the unpacker: no Abseil here, so that the one-shot process starts fast and stays small.
// Whose fault an error is decides its code in the daemon: the layer's (INVALID_ARGUMENT) or the
// machine's (by errno).
#pragma once

#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

namespace crisp::image {

class [[nodiscard]] Outcome {
 public:
  Outcome() = default;  // success
  static Outcome BadLayer(std::string text) { return Outcome(std::move(text), 0); }
  static Outcome System(int err, std::string text) {
    return Outcome(text + ": " + strerror(err), err == 0 ? EIO : err);
  }

  bool ok() const { return ok_; }
  const std::string& text() const { return text_; }
  int err() const { return err_; }  // 0: the layer is at fault

  Outcome In(std::string_view where) && {  // "entry a/b: " + text
    if (!ok_) text_ = std::string(where) + ": " + text_;
    return std::move(*this);
  }

 private:
  Outcome(std::string text, int err) : ok_(false), text_(std::move(text)), err_(err) {}
  bool ok_ = true;
  std::string text_;
  int err_ = 0;
};

}  // namespace crisp::image

#define OUTCOME_TRY(expr)                         \
  do {                                            \
    ::crisp::image::Outcome try_outcome = (expr); \
    if (!try_outcome.ok()) return try_outcome;    \
  } while (false)
