#include "runtime/security/selinux.h"

#include <gtest/gtest.h>

namespace crisp::runtime {
namespace {

SelinuxDefaults Read(absl::string_view text) {
  SelinuxDefaults defaults{{"u", "r", "t", "s0"}, {"u", "object_r", "f", "s0"}};
  ReadLxcContexts(text, &defaults);
  return defaults;
}

TEST(Selinux, LxcContexts) {
  const SelinuxDefaults read = Read(
      "# comment\n"
      "process = \"system_u:system_r:svirt_lxc_net_t:s0\"\n"
      "content = \"system_u:object_r:virt_var_lib_t:s0\"\n"
      "file=\"system_u:object_r:svirt_sandbox_file_t:s0:c1,c2\" # and more\n"
      "sandbox_kvm_process = \"x:y:z:s0\"");
  EXPECT_EQ(read.process.Text(), "system_u:system_r:svirt_lxc_net_t:s0");
  EXPECT_EQ(read.file.Text(), "system_u:object_r:svirt_sandbox_file_t:s0:c1,c2");
}

TEST(Selinux, WhatIsNoLabelChangesNothing) {
  for (const char* text :
       {"", "process", "process=", "process = u:r:t", "process = \"\"", "process = \"u:r\"",
        "process = \"u::t:s0\"", "process = \"", "=\"a:b:c\""}) {
    EXPECT_EQ(Read(text).process.Text(), "u:r:t:s0") << text;
  }
}

TEST(Selinux, WithoutLevels) { EXPECT_EQ(Read("file = \"a:b:c\"").file.Text(), "a:b:c"); }

}  // namespace
}  // namespace crisp::runtime
