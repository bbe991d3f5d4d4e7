// YAML to the tree that JSON would give: libyaml's events, one document, no anchors (aliases can
// blow a small file up without limit), plain scalars by the core schema.
#include <yaml.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "cri/cdi/cdi_tree.h"
#include "runtime/base/json.h"

namespace crisp::cri {
namespace {

constexpr size_t kMaxBytes = 4 << 20;
constexpr int kMaxDepth = 16;

class Event {
 public:
  Event() = default;
  Event(const Event&) = delete;
  ~Event() {
    if (filled_) yaml_event_delete(&event_);
  }
  bool Next(yaml_parser_t* parser) {
    filled_ = yaml_parser_parse(parser, &event_) != 0;
    return filled_;
  }
  const yaml_event_t& get() const { return event_; }

 private:
  yaml_event_t event_{};
  bool filled_ = false;
};

Json Scalar(const yaml_event_t& event) {
  const auto& scalar = event.data.scalar;
  const std::string text(reinterpret_cast<const char*>(scalar.value), scalar.length);
  if (scalar.style != YAML_PLAIN_SCALAR_STYLE || scalar.tag != nullptr) return text;
  if (text.empty() || text == "~" || text == "null") return nullptr;
  if (text == "true" || text == "false") return text == "true";
  int64_t number = 0;
  const bool octal = text.size() > 1 && text[0] == '0';  // fileMode: 0666, 0o666
  if (octal) {
    const size_t digits = text[1] == 'o' ? 2 : 1;
    const bool all = text.size() > digits && text.size() < 20 &&
                     text.find_first_not_of("01234567", digits) == std::string::npos;
    return all ? Json(strtoll(text.c_str() + digits, nullptr, 8)) : Json(text);
  }
  if (absl::SimpleAtoi(text, &number)) return number;
  return text;
}

class Builder {
 public:
  explicit Builder(absl::string_view text) {
    yaml_parser_initialize(&parser_);
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()),
                                 text.size());
  }
  Builder(const Builder&) = delete;
  ~Builder() { yaml_parser_delete(&parser_); }

  StatusOr<Json> Build() {
    RETURN_IF_ERROR(Expect(YAML_STREAM_START_EVENT));
    RETURN_IF_ERROR(Expect(YAML_DOCUMENT_START_EVENT));
    Json value;
    Event event;
    if (!event.Next(&parser_)) return Broken();
    RETURN_IF_ERROR(Value(event.get(), 0, &value));
    RETURN_IF_ERROR(Expect(YAML_DOCUMENT_END_EVENT));
    RETURN_IF_ERROR(Expect(YAML_STREAM_END_EVENT));
    return value;
  }

 private:
  Status Wrong(absl::string_view why) const {
    return absl::InvalidArgumentError(
        absl::StrCat("YAML: line ", parser_.mark.line + 1, ": ", why));
  }
  Status Broken() const { return Wrong(parser_.problem ? parser_.problem : "cannot be read"); }

  Status Expect(yaml_event_type_t type) {
    Event event;
    if (!event.Next(&parser_)) return Broken();
    return event.get().type == type ? absl::OkStatus() : Wrong("must be one document");
  }

  Status Value(const yaml_event_t& event, int depth, Json* out) {
    if (depth > kMaxDepth) return Wrong("nested too deep");
    switch (event.type) {
      case YAML_SCALAR_EVENT:
        *out = Scalar(event);
        return absl::OkStatus();
      case YAML_SEQUENCE_START_EVENT:
        return Sequence(depth, out);
      case YAML_MAPPING_START_EVENT:
        return Mapping(depth, out);
      default:
        return Wrong("aliases are not supported");
    }
  }

  Status Sequence(int depth, Json* out) {
    *out = Json::array();
    while (true) {
      Event event;
      if (!event.Next(&parser_)) return Broken();
      if (event.get().type == YAML_SEQUENCE_END_EVENT) return absl::OkStatus();
      Json value;
      RETURN_IF_ERROR(Value(event.get(), depth + 1, &value));
      out->push_back(std::move(value));
    }
  }

  Status Mapping(int depth, Json* out) {
    *out = Json::object();
    while (true) {
      Event key, event;
      if (!key.Next(&parser_)) return Broken();
      if (key.get().type == YAML_MAPPING_END_EVENT) return absl::OkStatus();
      if (key.get().type != YAML_SCALAR_EVENT) return Wrong("a key must be a word");
      const auto& scalar = key.get().data.scalar;
      const std::string name(reinterpret_cast<const char*>(scalar.value), scalar.length);
      if (out->contains(name)) return Wrong("duplicate key");
      if (!event.Next(&parser_)) return Broken();
      Json value;
      RETURN_IF_ERROR(Value(event.get(), depth + 1, &value));
      // "hooks:" with nothing behind it is the same as no member.
      if (!value.is_null()) (*out)[name] = std::move(value);
    }
  }

  yaml_parser_t parser_{};
};

}  // namespace

StatusOr<CdiSpec> ParseCdiYaml(absl::string_view text) {
  if (text.size() > kMaxBytes) return absl::InvalidArgumentError("YAML: more than 4 MiB");
  ASSIGN_OR_RETURN(const Json value, Builder(text).Build());
  return ReadCdiSpec(value);
}

}  // namespace crisp::cri
