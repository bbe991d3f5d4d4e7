// Generated from the proto: each field in turn absent, empty or at odd values. The answer is a spec
// or INVALID_ARGUMENT, never a crash and never another code.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <gtest/gtest.h>

#include <functional>

#include "tests/unit/translate/fixture.h"

namespace crisp::cri {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

void FillMessage(Message* message, int depth);

void FillOne(Message* message, const FieldDescriptor* field, int depth) {
  const Reflection* r = message->GetReflection();
  const bool many = field->is_repeated();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_MESSAGE:
      FillMessage(many ? r->AddMessage(message, field) : r->MutableMessage(message, field),
                  depth + 1);
      break;
    case FieldDescriptor::CPPTYPE_STRING:
      many ? r->AddString(message, field, "/dev/null") : r->SetString(message, field, "/dev/null");
      break;
    case FieldDescriptor::CPPTYPE_INT64:
      many ? r->AddInt64(message, field, 2000) : r->SetInt64(message, field, 2000);
      break;
    case FieldDescriptor::CPPTYPE_BOOL:
      if (!many) r->SetBool(message, field, true);
      break;
    default:
      break;  // enumerations and small numbers keep their zero
  }
}

void FillMessage(Message* message, int depth) {
  if (depth > 6) return;
  for (int i = 0; i < message->GetDescriptor()->field_count(); ++i) {
    FillOne(message, message->GetDescriptor()->field(i), depth);
  }
}

// Odd values of one field, the first being "absent".
std::vector<std::function<void()>> Oddities(Message* message, const FieldDescriptor* field) {
  const Reflection* r = message->GetReflection();
  std::vector<std::function<void()>> out = {[=] { r->ClearField(message, field); }};
  if (field->is_repeated()) return out;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      for (const std::string& odd :
           {std::string(1, '\0'), std::string("\xff\xfe"), std::string(1 << 20, 'x'),
            std::string("../.."), std::string("\x1b[31m")}) {
        out.push_back([=] { r->SetString(message, field, odd); });
      }
      break;
    case FieldDescriptor::CPPTYPE_INT64:
      for (const int64_t odd : {INT64_MIN, int64_t{-1}, INT64_MAX}) {
        out.push_back([=] { r->SetInt64(message, field, odd); });
      }
      break;
    case FieldDescriptor::CPPTYPE_INT32:
      for (const int32_t odd : {INT32_MIN, -1, INT32_MAX}) {
        out.push_back([=] { r->SetInt32(message, field, odd); });
      }
      break;
    case FieldDescriptor::CPPTYPE_ENUM:
      for (const int odd : {-1, 1, 2, 3, 1000}) {
        out.push_back([=] { r->SetEnumValue(message, field, odd); });
      }
      break;
    default:
      break;
  }
  return out;
}

// Changes each field of `message` and of what it holds, one at a time, and calls `check`.
int ForEachField(Message* message, const std::function<void(const std::string&)>& check) {
  int changes = 0;
  const Reflection* r = message->GetReflection();
  for (int i = 0; i < message->GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor* field = message->GetDescriptor()->field(i);
    const std::unique_ptr<Message> before(message->New());
    before->CopyFrom(*message);
    for (const auto& change : Oddities(message, field)) {
      change();
      check(field->full_name());
      message->CopyFrom(*before);
      ++changes;
    }
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE || field->is_map()) continue;
    if (!field->is_repeated() && r->HasField(*message, field)) {
      changes += ForEachField(r->MutableMessage(message, field), check);
    }
    if (field->is_repeated() && r->FieldSize(*message, field) > 0) {
      changes += ForEachField(r->MutableRepeatedMessage(message, field, 0), check);
    }
  }
  return changes;
}

void ExpectSane(const Status& status, const std::string& field) {
  EXPECT_TRUE(status.ok() || status.code() == absl::StatusCode::kInvalidArgument)
      << field << ": " << status;
  EXPECT_LT(status.message().size(), 1000u) << field;
}

TEST(AbsentFields, Container) {
  for (const bool full : {true, false}) {
    Request request;
    if (full) FillMessage(&request.config, 0);
    const int changes = ForEachField(&request.config, [&](const std::string& field) {
      ExpectSane(request.Translate().status(), field);
      ExpectSane(StopSignalOf(request.config, request.image).status(), field);
    });
    EXPECT_GT(changes, full ? 200 : 20);
  }
}

// From a request that passes, so that each change is really looked at.
TEST(AbsentFields, ContainerThatPasses) {
  Request request;
  FillMessage(request.resources(), 0);
  request.resources()->set_oom_score_adj(100);
  request.resources()->set_cpuset_cpus("0");
  request.resources()->set_cpuset_mems("0");
  request.resources()->clear_unified();
  request.resources()->mutable_hugepage_limits(0)->set_page_size("2MB");
  request.security()->mutable_run_as_user()->set_value(1);
  request.security()->mutable_run_as_group()->set_value(1);
  request.security()->mutable_seccomp();
  request.security()->mutable_capabilities()->add_add_capabilities("CHOWN");
  v1::Mount* mount = request.config.add_mounts();
  mount->set_host_path("/h");
  mount->set_container_path("/c");
  ASSERT_TRUE(request.Translate().ok()) << request.Translate().status();
  int refused = 0;
  ForEachField(&request.config, [&](const std::string& field) {
    const Status status = request.Translate().status();
    ExpectSane(status, field);
    refused += status.ok() ? 0 : 1;
  });
  EXPECT_GT(refused, 60);
}

TEST(AbsentFields, Pod) {
  for (const bool full : {true, false}) {
    v1::PodSandboxConfig config = GoodPod();
    if (full) FillMessage(&config, 0);
    ForEachField(&config, [&](const std::string& field) {
      ExpectSane(TranslatePod(config, std::string(64, 'b'), {}).status(), field);
    });
  }
}

}  // namespace
}  // namespace crisp::cri
