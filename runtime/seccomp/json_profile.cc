#include "runtime/seccomp/json_profile.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <set>

#include "runtime/base/capability_names.h"
#include "runtime/base/json.h"

namespace crisp::runtime {
namespace {

constexpr size_t kMaxEntries = 4096, kMaxNames = 65536, kMaxTests = 32;
constexpr uint64_t kMaxErrno = 4095;  // of SECCOMP_RET_DATA: more is cut to it by the kernel

// A member of an object that is an object itself; null counts as absent, as Go's decoder has it.
const Json* Member(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

std::string Shown(const Json& value) {
  return value.is_string() ? value.get<std::string>()
                           : value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Status Refuse(const std::string& place, const Json& value, absl::string_view reason) {
  return InvalidField(place, Shown(value).substr(0, 80), reason);
}

// A key that is not known could have been meant to narrow a rule.
Status CheckKeys(const Json& object, const std::string& place,
                 std::initializer_list<const char*> known) {
  if (!object.is_object()) return Refuse(place, object, "must be an object");
  for (const auto& [key, value] : object.items()) {
    bool found = false;
    for (const char* each : known) found = found || key == each;
    if (!found) return InvalidField(place, key, "is not a key of a seccomp profile");
  }
  return absl::OkStatus();
}

StatusOr<std::string> Text(const Json& value, const std::string& place) {
  if (!value.is_string()) return Refuse(place, value, "must be a string");
  return value.get<std::string>();
}

StatusOr<uint64_t> Number(const Json& value, const std::string& place, uint64_t max) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() > max) {
    return Refuse(place, value, absl::StrCat("must be a number from 0 to ", max));
  }
  return value.get<uint64_t>();
}

StatusOr<std::vector<std::string>> Texts(const Json* list, const std::string& place) {
  std::vector<std::string> texts;
  if (list == nullptr) return texts;
  if (!list->is_array()) return Refuse(place, *list, "must be a list of strings");
  if (list->size() > kMaxEntries) return Refuse(place, list->size(), "too many entries");
  for (const Json& each : *list) {
    ASSIGN_OR_RETURN(texts.emplace_back(), Text(each, place));
  }
  return texts;
}

// --- actions ---

// "EPERM" -> 1.
StatusOr<uint32_t> ErrnoByName(const Json& value, const std::string& place) {
  ASSIGN_OR_RETURN(const std::string name, Text(value, place));
  for (int err = 1; err < 134; ++err) {
    const char* known = strerrorname_np(err);
    if (known != nullptr && name == known) return static_cast<uint32_t>(err);
  }
  return Refuse(place, value, "is not the name of an error");
}

// A number ("errnoRet") or a name ("errno"); EPERM if neither is there.
StatusOr<uint32_t> ErrnoOfRule(const Json& object, const char* number, const char* name,
                               const std::string& at) {
  const Json* by_name = Member(object, name);
  const Json* by_number = Member(object, number);
  if (by_number != nullptr) {
    ASSIGN_OR_RETURN(const uint64_t value, Number(*by_number, at + number, kMaxErrno));
    return static_cast<uint32_t>(value);
  }
  return by_name == nullptr ? StatusOr<uint32_t>(EPERM) : ErrnoByName(*by_name, at + name);
}

StatusOr<uint32_t> ActionOf(const Json* action, const std::string& place, uint32_t err) {
  if (action == nullptr) return InvalidField(place, "", "must be given");
  ASSIGN_OR_RETURN(const std::string name, Text(*action, place));
  const struct {
    const char* name;
    uint32_t value;
  } actions[] = {{"SCMP_ACT_ALLOW", SECCOMP_RET_ALLOW},
                 {"SCMP_ACT_ERRNO", SECCOMP_RET_ERRNO | err},
                 {"SCMP_ACT_KILL", SECCOMP_RET_KILL_THREAD},
                 {"SCMP_ACT_KILL_THREAD", SECCOMP_RET_KILL_THREAD},
                 {"SCMP_ACT_KILL_PROCESS", SECCOMP_RET_KILL_PROCESS},
                 {"SCMP_ACT_TRAP", SECCOMP_RET_TRAP},
                 {"SCMP_ACT_TRACE", SECCOMP_RET_TRACE | err},
                 {"SCMP_ACT_LOG", SECCOMP_RET_LOG}};
  for (const auto& each : actions) {
    if (name == each.name) return each.value;
  }
  if (name == "SCMP_ACT_NOTIFY") return Refuse(place, *action, "needs a listener: not supported");
  return Refuse(place, *action, "is not an action");
}

// --- conditions ---

StatusOr<bool> KernelAtLeast(const Json& value, const std::string& place,
                             const ProfileContext& context) {
  ASSIGN_OR_RETURN(const std::string text, Text(value, place));
  int major = 0, minor = 0, end = 0;
  const bool good = text.size() < 16 && sscanf(text.c_str(), "%d.%d%n", &major, &minor, &end) == 2;
  if (!good || static_cast<size_t>(end) != text.size() || text[0] < '0' || text[0] > '9') {
    return Refuse(place, value, "is not a kernel version like \"4.8\"");
  }
  return context.kernel_major != major ? context.kernel_major > major
                                       : context.kernel_minor >= minor;
}

struct Filter {
  bool any_capability = false, all_capabilities = true;
  bool arch_given = false, arch = false;
  bool kernel_given = false, kernel = false;
};

StatusOr<Filter> FilterOf(const Json& object, const std::string& place,
                          const ProfileContext& context) {
  RETURN_IF_ERROR(CheckKeys(object, place, {"arches", "caps", "minKernel"}));
  Filter filter;
  ASSIGN_OR_RETURN(const auto caps, Texts(Member(object, "caps"), place + ".caps"));
  for (const std::string& name : caps) {
    const int number = CapabilityNumber(name);
    if (number < 0) return InvalidField(place + ".caps", name, "is not a capability");
    const bool has = (context.capabilities >> number & 1) != 0;
    filter.any_capability |= has;
    filter.all_capabilities &= has;
  }
  ASSIGN_OR_RETURN(const auto arches, Texts(Member(object, "arches"), place + ".arches"));
  filter.arch_given = !arches.empty();
  for (const std::string& arch : arches) filter.arch |= arch == "amd64";
  if (const Json* kernel = Member(object, "minKernel")) {
    filter.kernel_given = true;
    ASSIGN_OR_RETURN(filter.kernel, KernelAtLeast(*kernel, place + ".minKernel", context));
  }
  return filter;
}

// Does the rule count for this container on this node? "includes" must all hold, of "excludes"
// none may.
StatusOr<bool> Applies(const Json& rule, const std::string& at, const ProfileContext& context) {
  if (const Json* object = Member(rule, "includes")) {
    ASSIGN_OR_RETURN(const Filter filter, FilterOf(*object, at + "includes", context));
    if (!filter.all_capabilities || (filter.arch_given && !filter.arch)) return false;
    if (filter.kernel_given && !filter.kernel) return false;
  }
  if (const Json* object = Member(rule, "excludes")) {
    ASSIGN_OR_RETURN(const Filter filter, FilterOf(*object, at + "excludes", context));
    if (filter.any_capability || filter.arch || filter.kernel) return false;
  }
  return true;
}

// --- rules ---

StatusOr<ArgTest> TestOf(const Json& object, const std::string& place) {
  RETURN_IF_ERROR(CheckKeys(object, place, {"index", "value", "valueTwo", "op"}));
  const Json zero = uint64_t{0};
  const auto number = [&](const char* key, uint64_t max) {
    const Json* member = Member(object, key);
    return Number(member != nullptr ? *member : zero, absl::StrCat(place, ".", key), max);
  };
  ASSIGN_OR_RETURN(const uint64_t index, number("index", 5));
  ASSIGN_OR_RETURN(const uint64_t value, number("value", UINT64_MAX));
  ASSIGN_OR_RETURN(const uint64_t second, number("valueTwo", UINT64_MAX));
  const Json* op = Member(object, "op");
  if (op == nullptr) return InvalidField(place + ".op", "", "must be given");
  ASSIGN_OR_RETURN(const std::string name, Text(*op, place + ".op"));
  const auto argument = static_cast<unsigned>(index);
  if (name == "SCMP_CMP_MASKED_EQ") {  // (argument & value) == valueTwo
    return ArgTest{ArgTest::Op::kMaskedEqual, argument, second, value};
  }
  const struct {
    const char* name;
    ArgTest::Op op;
  } operators[] = {
      {"SCMP_CMP_EQ", ArgTest::Op::kEqual},   {"SCMP_CMP_NE", ArgTest::Op::kNotEqual},
      {"SCMP_CMP_LT", ArgTest::Op::kLess},    {"SCMP_CMP_LE", ArgTest::Op::kLessOrEqual},
      {"SCMP_CMP_GT", ArgTest::Op::kGreater}, {"SCMP_CMP_GE", ArgTest::Op::kGreaterOrEqual}};
  for (const auto& each : operators) {
    if (name == each.name) return ArgTest{each.op, argument, value};
  }
  return Refuse(place + ".op", *op, "is not an operator");
}

// Each inner list is a rule. One argument named twice makes alternatives, as runc has it: a rule
// could not hold both for most operators.
StatusOr<std::vector<std::vector<ArgTest>>> TestsOf(const Json& rule, const std::string& at) {
  const Json* list = Member(rule, "args");
  std::vector<ArgTest> tests;
  if (list != nullptr) {
    if (!list->is_array()) return Refuse(at + "args", *list, "must be a list");
    if (list->size() > kMaxTests) return Refuse(at + "args", list->size(), "too many tests");
    for (size_t i = 0; i < list->size(); ++i) {
      ASSIGN_OR_RETURN(tests.emplace_back(), TestOf((*list)[i], absl::StrCat(at, "args[", i, "]")));
    }
  }
  unsigned seen = 0;
  bool twice = false;
  for (const ArgTest& test : tests) {
    twice |= (seen >> test.index & 1) != 0;
    seen |= 1u << test.index;
  }
  if (!twice) return std::vector<std::vector<ArgTest>>{tests};
  std::vector<std::vector<ArgTest>> alternatives;
  for (const ArgTest& test : tests) alternatives.push_back({test});
  return alternatives;
}

StatusOr<std::vector<std::string>> NamesOf(const Json& rule, const std::string& at) {
  ASSIGN_OR_RETURN(std::vector<std::string> names, Texts(Member(rule, "names"), at + "names"));
  if (const Json* name = Member(rule, "name")) {
    if (!names.empty()) return Refuse(at + "name", *name, "names is given too");
    ASSIGN_OR_RETURN(names.emplace_back(), Text(*name, at + "name"));
  }
  if (names.empty()) return InvalidField(at + "names", "", "must name a system call");
  return names;
}

Status AddRule(const Json& rule, const std::string& place, const ProfileContext& context,
               JsonProfile* out) {
  RETURN_IF_ERROR(CheckKeys(
      rule, place,
      {"name", "names", "action", "args", "comment", "includes", "excludes", "errnoRet", "errno"}));
  const std::string at = place + ".";
  ASSIGN_OR_RETURN(const uint32_t err, ErrnoOfRule(rule, "errnoRet", "errno", at));
  ASSIGN_OR_RETURN(const uint32_t action, ActionOf(Member(rule, "action"), at + "action", err));
  ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesOf(rule, at));
  ASSIGN_OR_RETURN(const auto alternatives, TestsOf(rule, at));
  ASSIGN_OR_RETURN(const bool applies, Applies(rule, at, context));
  // What says the same as the default is left out, as in runc.
  if (!applies || action == out->profile.default_action) return absl::OkStatus();
  for (const std::string& name : names) {
    if (!IsSystemCall(name)) {
      out->unknown_calls.push_back(name.substr(0, 64));
      continue;
    }
    for (const auto& tests : alternatives) out->profile.rules.push_back({name, action, tests});
  }
  if (out->profile.rules.size() <= kMaxNames) return absl::OkStatus();
  return InvalidField(place, absl::StrCat(out->profile.rules.size()), "too many rules");
}

// --- the document ---

Status AddArchitecture(const std::string& name, const std::string& place, SeccompProfile* profile) {
  profile->with_i386 |= name == "SCMP_ARCH_X86";
  profile->with_x32 |= name == "SCMP_ARCH_X32";
  if (name.rfind("SCMP_ARCH_", 0) == 0) return absl::OkStatus();
  return InvalidField(place, name, "is not an architecture");
}

// The native one always counts; others of the processor only if they are named.
Status FillArchitectures(const Json& document, SeccompProfile* profile) {
  profile->with_i386 = profile->with_x32 = false;
  ASSIGN_OR_RETURN(const auto plain, Texts(Member(document, "architectures"), "architectures"));
  for (const std::string& name : plain) {
    RETURN_IF_ERROR(AddArchitecture(name, "architectures", profile));
  }
  const Json* map = Member(document, "archMap");
  if (map == nullptr) return absl::OkStatus();
  if (!plain.empty()) return Refuse("archMap", *map, "architectures is given too");
  if (!map->is_array() || map->size() > 256) return Refuse("archMap", *map, "must be a list");
  for (size_t i = 0; i < map->size(); ++i) {
    const std::string place = absl::StrCat("archMap[", i, "]");
    const Json& entry = (*map)[i];
    RETURN_IF_ERROR(CheckKeys(entry, place, {"architecture", "subArchitectures"}));
    const Json* name = Member(entry, "architecture");
    if (name == nullptr) return InvalidField(place + ".architecture", "", "must be given");
    ASSIGN_OR_RETURN(const std::string architecture, Text(*name, place + ".architecture"));
    ASSIGN_OR_RETURN(const auto others,
                     Texts(Member(entry, "subArchitectures"), place + ".subArchitectures"));
    SeccompProfile ignored;
    const bool ours = architecture == "SCMP_ARCH_X86_64";
    RETURN_IF_ERROR(AddArchitecture(architecture, place + ".architecture", &ignored));
    for (const std::string& other : others) {
      RETURN_IF_ERROR(
          AddArchitecture(other, place + ".subArchitectures", ours ? profile : &ignored));
    }
  }
  return absl::OkStatus();
}

Status FillFlags(const Json& document, JsonProfile* out) {
  for (const char* key : {"listenerPath", "listenerMetadata"}) {
    const Json* listener = Member(document, key);
    if (listener == nullptr || *listener == "") continue;
    return Refuse(key, *listener, "seccomp listeners are not supported");
  }
  ASSIGN_OR_RETURN(const auto flags, Texts(Member(document, "flags"), "flags"));
  for (const std::string& flag : flags) {
    if (flag == "SECCOMP_FILTER_FLAG_LOG") {
      out->flags |= SECCOMP_FILTER_FLAG_LOG;
    } else if (flag == "SECCOMP_FILTER_FLAG_SPEC_ALLOW") {
      out->flags |= SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    } else if (flag == "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV") {
      return InvalidField("flags", flag, "seccomp listeners are not supported");
    } else if (flag != "SECCOMP_FILTER_FLAG_TSYNC") {  // one thread: nothing to synchronise
      return InvalidField("flags", flag, "is not a flag");
    }
  }
  return absl::OkStatus();
}

}  // namespace

StatusOr<JsonProfile> ParseSeccompProfile(absl::string_view text, const ProfileContext& context) {
  ASSIGN_OR_RETURN(const Json document, ParseJson(text, {.bytes = kMaxProfileBytes, .depth = 16}));
  if (!document.is_object()) return Refuse("profile", document, "must be an object");
  JsonProfile out;
  ASSIGN_OR_RETURN(const uint32_t err,
                   ErrnoOfRule(document, "defaultErrnoRet", "defaultErrno", ""));
  ASSIGN_OR_RETURN(out.profile.default_action,
                   ActionOf(Member(document, "defaultAction"), "defaultAction", err));
  // Calls that nobody knew when the profile was written: a program's fall-back needs ENOSYS.
  const bool denies = (out.profile.default_action & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO;
  if (denies) out.profile.first_unknown = kFirstUnknownCall;
  RETURN_IF_ERROR(FillArchitectures(document, &out.profile));
  RETURN_IF_ERROR(FillFlags(document, &out));
  const Json* rules = Member(document, "syscalls");
  if (rules == nullptr) return out;
  if (!rules->is_array()) return Refuse("syscalls", *rules, "must be a list");
  if (rules->size() > kMaxEntries) return Refuse("syscalls", rules->size(), "too many entries");
  for (size_t i = 0; i < rules->size(); ++i) {
    RETURN_IF_ERROR(AddRule((*rules)[i], absl::StrCat("syscalls[", i, "]"), context, &out));
  }
  return out;
}

}  // namespace crisp::runtime
