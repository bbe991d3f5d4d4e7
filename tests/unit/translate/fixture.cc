#include "tests/unit/translate/fixture.h"

#include "absl/strings/match.h"

namespace crisp::cri {

v1::PodSandboxConfig GoodPod() {
  v1::PodSandboxConfig pod;
  pod.mutable_metadata()->set_name("web");
  pod.mutable_metadata()->set_uid("8f2c1e0a");
  pod.mutable_metadata()->set_namespace_("default");
  pod.set_hostname("web-0");
  pod.set_log_directory("/var/log/pods/default_web_8f2c1e0a");
  pod.mutable_linux()->set_cgroup_parent("/kubepods/pod8f2c1e0a");
  v1::NamespaceOption* options =
      pod.mutable_linux()->mutable_security_context()->mutable_namespace_options();
  options->set_pid(v1::CONTAINER);
  return pod;
}

Request::Request() {
  config.mutable_metadata()->set_name("app");
  config.mutable_image()->set_image("busybox");
  config.add_command("sh");
  config.set_log_path("app/0.log");
}

StatusOr<runtime::ContainerSpec> Request::Translate() const {
  TranslateInput input;
  input.id = std::string(64, 'a');
  input.sandbox_id = std::string(64, 'b');
  input.config = &config;
  input.pod = &pod;
  input.image = image;
  input.lower_dirs = {"/layers/1", "/layers/0"};
  input.volume_layers = volume_layers;
  input.cdi = cdi;
  input.cgroup_mode = mode;
  return TranslateContainer(input);
}

bool Refuses(const Status& status, const std::string& field) {
  return status.code() == absl::StatusCode::kInvalidArgument &&
         absl::StrContains(std::string(status.message()), field);
}

}  // namespace crisp::cri
