#include "runtime/security/identity.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "runtime/base/files.h"
#include "runtime/security/user_database.h"

namespace crisp::runtime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kPasswd[] =
    "# comment\n"
    "broken\n"
    "root:x:0:0:root:/root:/bin/sh\n"
    "app:x:1000:1001:App:/home/app:/bin/sh\n"
    "app:x:7:7:second of the name:/:/bin/sh\n"
    "1:x:0:0:a number as a name:/:/bin/sh\n"
    "big:x:4294967296:0::/:/bin/sh\n"
    "neg:x:-1:0::/:/bin/sh\n"
    "nohome:x:1002:1002::relative:/bin/sh\n";
constexpr char kGroup[] =
    "root:x:0:root\n"
    "wheel:x:10:root,app\n"
    "app:x:1001:\n"
    "twice:x:10:app\n"
    "bad:x:+5:app\n"
    "staff:x:50:other,app\n";

class IdentityTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(mkdtemp(path_), nullptr);
    root_.Reset(open(path_, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_EQ(mkdirat(root_.get(), "etc", 0755), 0);
    etc_.Reset(openat(root_.get(), "etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    Put("passwd", kPasswd);
    Put("group", kGroup);
  }
  void TearDown() override { EXPECT_TRUE(RemoveTreeAt(AT_FDCWD, path_).ok()); }
  void Put(const std::string& name, absl::string_view text) {
    unlinkat(etc_.get(), name.c_str(), 0);
    ASSERT_TRUE(WriteFileAtomic(etc_.get(), name, text, 0644, false).ok());
  }
  StatusOr<Identity> Resolve(const UserRequest& request) {
    return ResolveIdentity(root_.get(), request);
  }

  char path_[64] = "/tmp/crisp-identity-XXXXXX";
  UniqueFd root_, etc_;
};

TEST_F(IdentityTest, NothingAskedIsRootWithItsGroups) {
  const auto who = Resolve({});
  ASSERT_TRUE(who.ok()) << who.status();
  EXPECT_EQ(who->uid, 0u);
  EXPECT_EQ(who->gid, 0u);
  EXPECT_EQ(who->home, "/root");
  EXPECT_THAT(who->groups, ElementsAre(0, 10));
}

TEST_F(IdentityTest, NameOfTheImage) {
  const auto who = Resolve({.run_as_username = "app"});
  ASSERT_TRUE(who.ok()) << who.status();
  EXPECT_EQ(who->uid, 1000u);
  EXPECT_EQ(who->gid, 1001u);
  EXPECT_EQ(who->home, "/home/app");
  EXPECT_THAT(who->groups, ElementsAre(10, 50, 1001));
}

TEST_F(IdentityTest, NumberFindsItsEntry) {
  const auto who = Resolve({.run_as_user = 1000, .run_as_group = 5, .supplemental_groups = {9, 9}});
  ASSERT_TRUE(who.ok()) << who.status();
  EXPECT_EQ(who->gid, 5u);
  EXPECT_EQ(who->home, "/home/app");
  EXPECT_THAT(who->groups, ElementsAre(5, 9, 10, 50));
}

TEST_F(IdentityTest, NumberWithoutEntryHasGroupZero) {
  const auto who = Resolve({.run_as_user = 4294967294});
  ASSERT_TRUE(who.ok()) << who.status();
  EXPECT_EQ(who->uid, 4294967294u);
  EXPECT_EQ(who->gid, 0u);
  EXPECT_EQ(who->home, "/");
  EXPECT_THAT(who->groups, ElementsAre(0));
}

TEST_F(IdentityTest, S23StrictKeepsThePrimaryGroup) {
  const auto who =
      Resolve({.run_as_username = "app", .supplemental_groups = {77}, .merge_image_groups = false});
  ASSERT_TRUE(who.ok()) << who.status();
  EXPECT_THAT(who->groups, ElementsAre(77, 1001));
}

TEST_F(IdentityTest, ImageUserWithGroup) {
  auto who = Resolve({.image_user = "app:staff"});
  ASSERT_TRUE(who.ok()) << who.status();
  EXPECT_EQ(who->uid, 1000u);
  EXPECT_EQ(who->gid, 50u);
  who = Resolve({.image_user = "65536:0"});
  ASSERT_TRUE(who.ok()) << who.status();
  EXPECT_EQ(who->uid, 65536u);
  EXPECT_EQ(who->gid, 0u);
  EXPECT_FALSE(Resolve({.image_user = "app:nogroup"}).ok());
  // The request's user replaces the image's, group included.
  who = Resolve({.run_as_user = 3, .image_user = "bogus user:x:y"});
  ASSERT_TRUE(who.ok()) << who.status();
  EXPECT_EQ(who->gid, 0u);
}

TEST_F(IdentityTest, S24NumbersNeverBecomeNames) {
  const std::string huge(1 << 20, '9');
  struct Case {
    std::string user;
    std::optional<uint32_t> uid;  // nullopt: refused
  };
  const std::vector<Case> cases = {{"4294967296", {}},
                                   {"2147483648", 2147483648u},
                                   {"4294967295", {}},
                                   {"-1", {}},
                                   {"+0", {}},
                                   {"1", 1},
                                   {"01", {}},
                                   {"0x0", {}},
                                   {" 0", {}},
                                   {"0 ", {}},
                                   {"1000:", {}},
                                   {":0", {}},
                                   {"9999999999999", {}},
                                   {huge, {}},
                                   {"root\n", {}},
                                   {"", 0},
                                   {"0", 0},
                                   {"root", 0},
                                   {std::string("root\0", 5), {}},
                                   {"18446744073709551616", {}},
                                   {"1e3", {}},
                                   {"\xd9\xa1", {}}};
  // Every such name is an entry with uid 0: falling back to a name would give root.
  std::string passwd = kPasswd;
  for (const Case& c : cases) {
    if (c.user.size() < 64) absl::StrAppend(&passwd, c.user, ":x:0:0::/:/bin/sh\n");
  }
  Put("passwd", passwd);
  for (const Case& c : cases) {
    for (const bool from_image : {true, false}) {
      UserRequest request;
      (from_image ? request.image_user : request.run_as_username) = c.user;
      const auto who = Resolve(request);
      if (c.uid) {
        ASSERT_TRUE(who.ok()) << c.user << who.status();
        EXPECT_EQ(who->uid, *c.uid) << c.user;
        continue;
      }
      EXPECT_EQ(who.status().code(), absl::StatusCode::kInvalidArgument) << c.user.substr(0, 40);
      EXPECT_THAT(std::string(who.status().message()),
                  HasSubstr(from_image ? "image config User" : "run_as_username"));
      EXPECT_LT(who.status().message().size(), 400u);
      EXPECT_EQ(ValidateUserRequest(request).code(), absl::StatusCode::kInvalidArgument);
    }
  }
  EXPECT_FALSE(Resolve({.run_as_username = "65536:0"}).ok());
}

TEST_F(IdentityTest, BadNumbersOfTheRequest) {
  for (const int64_t bad :
       {int64_t{-1}, int64_t{4294967295}, int64_t{4294967296}, INT64_MIN, INT64_MAX}) {
    EXPECT_FALSE(Resolve({.run_as_user = bad}).ok());
    EXPECT_FALSE(Resolve({.run_as_user = 1, .run_as_group = bad}).ok());
    EXPECT_FALSE(Resolve({.supplemental_groups = {bad}}).ok());
  }
  EXPECT_THAT(std::string(Resolve({.run_as_group = 5}).status().message()),
              HasSubstr("run_as_group"));
  EXPECT_FALSE(Resolve({.run_as_user = 1, .run_as_username = "app"}).ok());
  std::vector<int64_t> many(65536, 1);
  EXPECT_FALSE(Resolve({.supplemental_groups = many}).ok());
  many.pop_back();
  EXPECT_TRUE(Resolve({.supplemental_groups = many}).ok());
}

TEST_F(IdentityTest, UnknownNameAndMalformedEntries) {
  for (const char* name : {"nobody", "big", "neg", "broken"}) {
    const auto who = Resolve({.run_as_username = name});
    EXPECT_EQ(who.status().code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_THAT(std::string(who.status().message()), HasSubstr("no such user"));
  }
  EXPECT_EQ(Resolve({.run_as_username = "nohome"})->home, "/");
}

TEST_F(IdentityTest, MissingFiles) {
  ASSERT_TRUE(RemoveTreeAt(root_.get(), "etc").ok());
  EXPECT_EQ(Resolve({.run_as_user = 5})->uid, 5u);
  EXPECT_EQ(Resolve({})->home, "/");
  EXPECT_FALSE(Resolve({.run_as_username = "root"}).ok());
}

TEST_F(IdentityTest, LinksStayInside) {
  unlinkat(etc_.get(), "passwd", 0);
  ASSERT_TRUE(WriteFileAtomic(root_.get(), "inner", "x:x:44:44::/x:/\n", 0644, false).ok());
  ASSERT_EQ(symlinkat("/inner", etc_.get(), "passwd"), 0);
  EXPECT_EQ(Resolve({.run_as_username = "x"})->uid, 44u);
  unlinkat(etc_.get(), "passwd", 0);
  ASSERT_EQ(symlinkat("../../../../etc/passwd", etc_.get(), "passwd"), 0);
  EXPECT_FALSE(Resolve({.run_as_username = "daemon"}).ok());  // the host's file has it: a loop here
}

TEST_F(IdentityTest, OddFilesAreRefusedAtOnce) {
  const std::vector<std::function<int()>> makers = {
      [&] { return mkfifoat(etc_.get(), "passwd", 0666); },
      [&] { return mkdirat(etc_.get(), "passwd", 0755); },
      [&] { return mknodat(etc_.get(), "passwd", S_IFCHR | 0666, makedev(1, 5)); }};  // zero
  for (const auto& make : makers) {
    ASSERT_TRUE(RemoveTreeAt(etc_.get(), "passwd").ok());
    ASSERT_EQ(make(), 0);
    const auto who = Resolve({.run_as_username = "root"});
    EXPECT_EQ(who.status().code(), absl::StatusCode::kFailedPrecondition) << who.status();
  }
}

TEST_F(IdentityTest, Limits) {
  const std::string entry = "x:x:44:44::/x:/\n";
  std::string text = entry + std::string(kMaxDatabaseBytes - entry.size(), '\n');
  Put("passwd", text);
  EXPECT_EQ(Resolve({.run_as_username = "x"})->uid, 44u);
  Put("passwd", text + "\n");
  EXPECT_EQ(Resolve({.run_as_username = "x"}).status().code(),
            absl::StatusCode::kResourceExhausted);
  Put("passwd", std::string(kMaxDatabaseLine, 'a') + "\n" + entry);
  EXPECT_EQ(Resolve({.run_as_username = "x"})->uid, 44u);
  Put("passwd", std::string(kMaxDatabaseLine + 1, 'a') + "\n" + entry);
  EXPECT_FALSE(Resolve({.run_as_username = "x"}).ok());
}

}  // namespace
}  // namespace crisp::runtime
