// The JSON of users' profiles: what it means, and what is refused.
#include "runtime/seccomp/json_profile.h"

#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>

#include "absl/strings/match.h"
#include "runtime/seccomp/filter.h"
#include "tests/unit/seccomp/bpf_eval.h"

namespace crisp::runtime {
namespace {

constexpr uint32_t kAllow = SECCOMP_RET_ALLOW;
const ProfileContext kHere{.capabilities = 0, .kernel_major = 6, .kernel_minor = 1};

std::string Document(const std::string& syscalls, const std::string& more = "") {
  return "{\"defaultAction\":\"SCMP_ACT_ERRNO\"," + more + "\"syscalls\":[" + syscalls + "]}";
}

std::vector<uint8_t> Compiled(const std::string& text, const ProfileContext& context = kHere) {
  const auto parsed = ParseSeccompProfile(text, context);
  EXPECT_TRUE(parsed.ok()) << parsed.status() << text;
  if (!parsed.ok()) return {};
  const auto bytes = CompileProfile(parsed->profile);
  EXPECT_TRUE(bytes.ok()) << bytes.status();
  return bytes.ok() ? *bytes : std::vector<uint8_t>{};
}

// What `text` says to read(argument).
uint32_t Read(const std::string& text, uint64_t argument = 0,
              const ProfileContext& context = kHere) {
  return EvalBpf(Compiled(text, context), Call(AUDIT_ARCH_X86_64, SYS_read, argument));
}

std::string Rule(const std::string& more) {
  return "{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\"" + more + "}";
}

TEST(JsonProfile, ActionsAndErrors) {
  EXPECT_EQ(Read("{\"defaultAction\":\"SCMP_ACT_ALLOW\"}"), kAllow);
  EXPECT_EQ(Read(Document("")), SeccompErrno(EPERM));
  EXPECT_EQ(Read(Document("", "\"defaultErrnoRet\":38,")), SeccompErrno(ENOSYS));
  EXPECT_EQ(Read(Document("", "\"defaultErrno\":\"ENOSYS\",")), SeccompErrno(ENOSYS));
  EXPECT_EQ(Read(Document(Rule(""))), kAllow);
  const struct {
    const char* action;
    uint32_t value;
  } actions[] = {{"KILL", SECCOMP_RET_KILL_THREAD},
                 {"KILL_THREAD", SECCOMP_RET_KILL_THREAD},
                 {"KILL_PROCESS", SECCOMP_RET_KILL_PROCESS},
                 {"TRAP", SECCOMP_RET_TRAP},
                 {"TRACE", SECCOMP_RET_TRACE | 13},
                 {"LOG", SECCOMP_RET_LOG},
                 {"ERRNO", SeccompErrno(13)}};
  for (const auto& each : actions) {
    EXPECT_EQ(Read(Document(absl::StrCat("{\"name\":\"read\",\"action\":\"SCMP_ACT_", each.action,
                                         "\",\"errnoRet\":13}"))),
              each.value)
        << each.action;
  }
  EXPECT_EQ(
      Read(Document("{\"name\":\"read\",\"action\":\"SCMP_ACT_ERRNO\",\"errno\":\"EACCES\"}")),
      SeccompErrno(EACCES));
}

TEST(JsonProfile, Arguments) {
  const auto one = [](const std::string& op, const std::string& value, uint64_t argument,
                      const std::string& two = "0") {
    return Read(Document(Rule(",\"args\":[{\"index\":0,\"op\":\"SCMP_CMP_" + op +
                              "\",\"value\":" + value + ",\"valueTwo\":" + two + "}]")),
                argument) == kAllow;
  };
  EXPECT_TRUE(one("EQ", "5", 5) && !one("EQ", "5", 5 | 1ull << 40));
  EXPECT_TRUE(one("NE", "5", 6) && one("NE", "5", 5 | 1ull << 40) && !one("NE", "5", 5));
  EXPECT_TRUE(one("LT", "5", 4) && !one("LT", "5", 5) && !one("LT", "5", 1ull << 40));
  EXPECT_TRUE(one("LE", "5", 5) && !one("LE", "5", 6));
  EXPECT_TRUE(one("GT", "5", 6) && !one("GT", "5", 5) && one("GT", "5", 1ull << 40));
  EXPECT_TRUE(one("GE", "5", 5) && !one("GE", "5", 4));
  EXPECT_TRUE(one("MASKED_EQ", "12", 7, "4") && !one("MASKED_EQ", "12", 8, "4"));
  EXPECT_TRUE(one("EQ", "18446744073709551615", ~uint64_t{0}));
}

// All must hold; but one argument named twice makes alternatives.
TEST(JsonProfile, SeveralArguments) {
  const std::string both =
      Document(Rule(",\"args\":[{\"index\":0,\"op\":\"SCMP_CMP_EQ\",\"value\":1},"
                    "{\"index\":1,\"op\":\"SCMP_CMP_EQ\",\"value\":0}]"));
  EXPECT_EQ(Read(both, 1), kAllow);
  EXPECT_NE(Read(both, 2), kAllow);
  const std::string either =
      Document(Rule(",\"args\":[{\"index\":0,\"op\":\"SCMP_CMP_EQ\",\"value\":1},"
                    "{\"index\":0,\"op\":\"SCMP_CMP_EQ\",\"value\":2}]"));
  EXPECT_TRUE(Read(either, 1) == kAllow && Read(either, 2) == kAllow && Read(either, 3) != kAllow);
}

TEST(JsonProfile, IncludesAndExcludes) {
  const auto applies = [](const std::string& condition, uint64_t capabilities = 0) {
    return Read(Document(Rule("," + condition)), 0, {capabilities, 6, 1}) == kAllow;
  };
  const uint64_t admin = uint64_t{1} << CAP_SYS_ADMIN;
  EXPECT_FALSE(applies("\"includes\":{\"caps\":[\"CAP_SYS_ADMIN\"]}"));
  EXPECT_TRUE(applies("\"includes\":{\"caps\":[\"CAP_SYS_ADMIN\"]}", admin));
  EXPECT_FALSE(applies("\"includes\":{\"caps\":[\"CAP_SYS_ADMIN\",\"CAP_BPF\"]}", admin));
  EXPECT_TRUE(applies("\"excludes\":{\"caps\":[\"CAP_SYS_ADMIN\"]}"));
  EXPECT_FALSE(applies("\"excludes\":{\"caps\":[\"CAP_BPF\",\"CAP_SYS_ADMIN\"]}", admin));
  EXPECT_TRUE(applies("\"includes\":{\"arches\":[\"arm64\",\"amd64\"]}"));
  EXPECT_FALSE(applies("\"includes\":{\"arches\":[\"arm64\"]}"));
  EXPECT_FALSE(applies("\"excludes\":{\"arches\":[\"amd64\"]}"));
  EXPECT_TRUE(applies("\"includes\":{\"minKernel\":\"6.1\"}"));
  EXPECT_TRUE(applies("\"includes\":{\"minKernel\":\"4.8\"}"));
  EXPECT_FALSE(applies("\"includes\":{\"minKernel\":\"6.2\"}"));
  EXPECT_FALSE(applies("\"excludes\":{\"minKernel\":\"5.0\"}"));
  EXPECT_TRUE(applies("\"includes\":{},\"excludes\":{\"caps\":null}"));
}

TEST(JsonProfile, Architectures) {
  const auto read_on = [](const std::string& more, uint32_t arch, uint32_t number) {
    return EvalBpf(Compiled(Document(Rule(""), more)), Call(arch, number));
  };
  const std::string map =
      "\"archMap\":[{\"architecture\":\"SCMP_ARCH_AARCH64\",\"subArchitectures\":[\"SCMP_ARCH_"
      "ARM\"]},{\"architecture\":\"SCMP_ARCH_X86_64\",\"subArchitectures\":[\"SCMP_ARCH_X86\"]}],";
  const uint32_t x32 = SYS_read | 0x40000000;
  EXPECT_EQ(read_on(map, AUDIT_ARCH_I386, 3), kAllow);
  EXPECT_EQ(read_on(map, AUDIT_ARCH_X86_64, x32), SECCOMP_RET_KILL_PROCESS);
  EXPECT_EQ(read_on("", AUDIT_ARCH_I386, 3), SECCOMP_RET_KILL_PROCESS);
  EXPECT_EQ(read_on("", AUDIT_ARCH_X86_64, SYS_read), kAllow);
  const std::string list = "\"architectures\":[\"SCMP_ARCH_X86\",\"SCMP_ARCH_X32\"],";
  EXPECT_EQ(read_on(list, AUDIT_ARCH_I386, 3), kAllow);
  EXPECT_EQ(read_on(list, AUDIT_ARCH_X86_64, x32), kAllow);
}

TEST(JsonProfile, NewUnknownAndOverriddenCalls) {
  const std::string text = Document(
      "{\"names\":[\"mseal\",\"call_of_2040\"],\"action\":\"SCMP_ACT_ALLOW\"},"
      "{\"name\":\"read\",\"action\":\"SCMP_ACT_KILL\",\"args\":[{\"index\":0,\"op\":\"SCMP_CMP_"
      "EQ\",\"value\":3}]},{\"name\":\"read\",\"action\":\"SCMP_ACT_ALLOW\"}");
  const auto parsed = ParseSeccompProfile(text, kHere);
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->unknown_calls, std::vector<std::string>{"call_of_2040"});
  EXPECT_EQ(EvalBpf(Compiled(text), Call(AUDIT_ARCH_X86_64, 462)), kAllow);
  EXPECT_EQ(EvalBpf(Compiled(text), Call(AUDIT_ARCH_X86_64, 461)), SeccompErrno(EPERM));
  EXPECT_EQ(EvalBpf(Compiled(text), Call(AUDIT_ARCH_X86_64, 600)), SeccompErrno(ENOSYS));
  EXPECT_EQ(Read(text, 3), kAllow);  // the rule without arguments decides, as in libseccomp
  EXPECT_EQ(
      EvalBpf(Compiled("{\"defaultAction\":\"SCMP_ACT_ALLOW\"}"), Call(AUDIT_ARCH_X86_64, 600)),
      kAllow);
}

TEST(JsonProfile, Flags) {
  const auto parsed = ParseSeccompProfile(
      Document("",
               "\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\",\"SECCOMP_FILTER_FLAG_SPEC_ALLOW\","
               "\"SECCOMP_FILTER_FLAG_TSYNC\"],"),
      kHere);
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->flags,
            static_cast<uint32_t>(SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW));
}

TEST(JsonProfile, Refused) {
  const auto rule = [](const std::string& more) { return Document(Rule("," + more)); };
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "JSON"},
      {"[]", "profile"},
      {"{}", "defaultAction"},
      {"{\"defaultAction\":\"SCMP_ACT_ALOW\"}", "SCMP_ACT_ALOW"},
      {"{\"defaultAction\":\"SCMP_ACT_NOTIFY\"}", "listener"},
      {"{\"defaultAction\":7}", "defaultAction"},
      {Document("", "\"listenerPath\":\"/run/x.sock\","), "listenerPath"},
      {Document("", "\"listenerMetadata\":\"x\","), "listenerMetadata"},
      {Document("", "\"flags\":[\"SECCOMP_FILTER_FLAG_NEW_LISTENER\"],"), "NEW_LISTENER"},
      {Document("", "\"flags\":[\"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV\"],"), "listeners"},
      {Document("", "\"defaultErrnoRet\":4096,"), "defaultErrnoRet"},
      {Document("", "\"defaultErrnoRet\":-1,"), "defaultErrnoRet"},
      {Document("", "\"defaultErrno\":\"EWHAT\","), "EWHAT"},
      {Document("", "\"architectures\":[\"X86\"],"), "architectures"},
      {Document("", "\"architectures\":[\"SCMP_ARCH_X86\"],\"archMap\":[],"), "archMap"},
      {Document("", "\"archMap\":[{}],"), "archMap[0].architecture"},
      {Document("7"), "syscalls[0]"},
      {Document("{\"action\":\"SCMP_ACT_ALLOW\"}"), "syscalls[0].names"},
      {Document("{\"names\":[\"read\"]}"), "syscalls[0].action"},
      {rule("\"name\":\"write\""), "syscalls[0].name"},
      {rule("\"arg\":[]"), "\"arg\""},
      {rule("\"args\":{}"), "syscalls[0].args"},
      {rule("\"args\":[{\"index\":6,\"op\":\"SCMP_CMP_EQ\"}]"), "args[0].index"},
      {rule("\"args\":[{\"index\":0,\"op\":\"SCMP_CMP_XX\"}]"), "SCMP_CMP_XX"},
      {rule("\"args\":[{\"index\":0}]"), "args[0].op"},
      {rule("\"args\":[{\"index\":0,\"op\":\"SCMP_CMP_EQ\",\"value\":-1}]"), "args[0].value"},
      {rule("\"args\":[{\"index\":0,\"op\":\"SCMP_CMP_EQ\",\"value\":1.5}]"), "args[0].value"},
      {rule("\"errnoRet\":65536"), "errnoRet"},
      {rule("\"includes\":{\"caps\":[\"CAP_NOPE\"]}"), "CAP_NOPE"},
      {rule("\"includes\":{\"minKernel\":\"six\"}"), "minKernel"},
      {rule("\"excludes\":{\"kernel\":\"6.1\"}"), "excludes"},
      {Document("", "\"defaultAction\":\"SCMP_ACT_ALLOW\","), "duplicate"},
      {std::string(kMaxProfileBytes + 1, ' '), "bytes"},
      {std::string(100, '['), "deep"},
  };
  for (const auto& [text, word] : cases) {
    const Status status = ParseSeccompProfile(text, kHere).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text.substr(0, 200);
    EXPECT_TRUE(absl::StrContains(status.message(), word)) << word << ": " << status;
  }
}

// S25: whatever the path is, it is an error that names it, at once.
TEST(LocalhostFilter, BadFiles) {
  char folder[] = "/tmp/seccomp-XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  const std::string dir = folder;
  mkfifo((dir + "/fifo").c_str(), 0600);
  std::ofstream(dir + "/bad") << "{";
  std::ofstream(dir + "/large") << std::string(kMaxProfileBytes + 1, ' ');
  for (const std::string& path : {dir, dir + "/fifo", dir + "/missing", dir + "/bad",
                                  dir + "/large", std::string("/dev/zero")}) {
    const Status status = LocalhostSeccompFilter(path, 0).status();
    EXPECT_FALSE(status.ok()) << path;
    EXPECT_TRUE(absl::StrContains(status.message(), path)) << status;
  }
  std::ofstream(dir + "/good") << Document("");
  const auto first = LocalhostSeccompFilter(dir + "/good", 0);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(*first, *LocalhostSeccompFilter(dir + "/good", 0));  // compiled once
  EXPECT_EQ((*first)->source, Document(""));
  std::ofstream(dir + "/good") << Document(Rule(""));  // another content: another program
  EXPECT_NE(*first, *LocalhostSeccompFilter(dir + "/good", 0));
  EXPECT_EQ(system(("rm -r " + dir).c_str()), 0);
}

}  // namespace
}  // namespace crisp::runtime
