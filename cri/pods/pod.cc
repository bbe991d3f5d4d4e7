#include "cri/pods/pod.h"

#include "absl/strings/str_cat.h"

namespace crisp::cri {

std::string PodName(const v1::PodSandboxMetadata& metadata) {
  // Kubernetes names hold no "/", so the parts cannot run into each other.
  return absl::StrCat("pod/", metadata.namespace_(), "/", metadata.name(), "/", metadata.uid(), "/",
                      metadata.attempt());
}

std::string ContainerName(const std::string& pod_id, const v1::ContainerMetadata& metadata) {
  return absl::StrCat("container/", pod_id, "/", metadata.name(), "/", metadata.attempt());
}

std::shared_ptr<const runtime::ContainerSpec> SpecInForce(const Container& container) {
  return container.updated_spec ? container.updated_spec : container.spec;
}

records::Record RecordOf(const Pod& pod) {
  records::Record record;
  records::Pod* out = record.mutable_pod();
  out->set_id(pod.id);
  pod.config.SerializeToString(out->mutable_config());
  out->set_runtime_handler(pod.runtime_handler);
  out->set_created_at(pod.created_at);
  for (const std::string& ip : pod.ips) out->add_ips(ip);
  out->set_network(pod.network_record);
  out->set_state(static_cast<int>(pod.state));
  if (pod.selinux_level) out->set_selinux_level(*pod.selinux_level);
  out->set_made_parent(pod.made_parent);
  if (pod.updated) {
    pod.overhead.SerializeToString(out->mutable_overhead());
    pod.resources.SerializeToString(out->mutable_resources());
  }
  return record;
}

records::Record RecordOf(const Container& container) {
  records::Record record;
  records::Container* out = record.mutable_container();
  out->set_id(container.id);
  out->set_pod_id(container.pod_id);
  container.config.SerializeToString(out->mutable_config());
  *out->mutable_image() = container.image;
  for (const records::Image& image : container.volume_images) *out->add_volume_images() = image;
  out->set_cdi_edits(container.cdi_edits);
  out->set_state(static_cast<int>(container.state));
  out->set_created_at(container.created_at);
  out->set_started_at(container.started_at);
  out->set_finished_at(container.finished_at);
  out->set_exit_code(container.exit_code);
  out->set_reason(container.reason);
  out->set_message(container.message);
  out->set_log_path(container.log_path);
  out->set_cgroup_parent(container.spec ? container.spec->cgroup_parent : "");
  out->set_uid(container.identity.uid);
  out->set_gid(container.identity.gid);
  for (const uint32_t group : container.identity.groups) out->add_groups(group);
  out->set_home(container.identity.home);
  out->set_pid(container.pid);
  if (container.updated) container.resources.SerializeToString(out->mutable_resources());
  out->set_seccomp_source(container.seccomp_source);
  return record;
}

}  // namespace crisp::cri
