#include "cri/config/fields.h"

#include "cri/config/checks.h"

namespace crisp {
namespace {

#define PLACE(member) [](auto& c) -> FieldPlace { return &c.member; }

std::vector<Field> MakeFields() {
  return {
      {"root", "Images and what else must survive a reboot.", PLACE(root), CheckPath},
      {"state", "Pods and sockets of this boot; on tmpfs.", PLACE(state), CheckPath},
      {"socket", "The CRI. Empty: <state>/crisp.sock.", PLACE(socket), CheckSocket},
      {"debug_socket",
       "HTTP for root: /healthz /metrics /pods /pulls /calls. Empty: <state>/debug.sock.",
       PLACE(debug_socket), CheckSocket},
      {"metrics_address", "Serves /metrics over TCP, as \"127.0.0.1:9090\". Empty: off.",
       PLACE(metrics_address), CheckAddress},
      {"log_level", "debug, info, warning or error.", PLACE(log_level), CheckLogLevel},
      {"cgroup_driver",
       "auto, cgroupfs or systemd. auto: systemd where it is pid 1 and cgroups are v2 alone.",
       PLACE(cgroup_driver), CheckCgroupDriver},
      {"sandbox_image",
       "Reported to kubeadm and kept from image GC; pods need no pause process and never run it.",
       PLACE(sandbox_image), CheckWord},
      {"default_image",
       "OCI layout loaded at start. Empty: ../share/crisp/images/busybox beside the program.",
       PLACE(default_image), CheckPath},
      {"cdi_dirs", "Where CDI devices are defined; a later folder beats an earlier one.",
       PLACE(cdi_dirs), CheckPath},
      {"keeper_binary", "Empty: crisp-keeper beside crispd.", PLACE(keeper_binary), CheckPath},
      {"unpacker_binary", "Unpacks one layer, confined. Empty: crisp-unpack beside crispd.",
       PLACE(unpacker_binary), CheckPath},
      {"network.builtin", "Use the built-in bridge while conf_dirs hold no conflist.",
       PLACE(network.builtin)},
      {"network.subnet", "Pod addresses of the built-in bridge.", PLACE(network.subnet),
       CheckSubnet},
      {"network.bridge", "Name of the built-in bridge.", PLACE(network.bridge), CheckInterface},
      {"network.conf_dirs", "Where CNI conflists are looked for.", PLACE(network.conf_dirs),
       CheckPath},
      {"network.bin_dirs", "Where CNI plugins are looked for.", PLACE(network.bin_dirs), CheckPath},
      {"network.pool_size", "Ready-made pod networks; 0 turns the pool off.",
       PLACE(network.pool_size), nullptr, 0, 256},
      {"log.max_line_bytes", "Longer lines of a container are split (tag P).",
       PLACE(log.max_line_bytes), nullptr, 256, 1 << 20},
      {"log.max_file_bytes",
       "Output that would make a container's log file larger is dropped until the kubelet rotates "
       "it; a line says so. 0: no limit.",
       PLACE(log.max_file_bytes), nullptr, 0, int64_t{1} << 50},
      {"log.max_bytes_per_second",
       "Output of a container beyond this in one second is dropped; a line says so. 0: no limit.",
       PLACE(log.max_bytes_per_second), nullptr, 0, int64_t{1} << 40},
      {"launch.timeout_ms",
       "Within this a container's program must run, or its start is undone (a mount whose server "
       "is "
       "dead, a frozen cgroup).",
       PLACE(launch.timeout_ms), nullptr, 100, 600000},
      {"exec.drain_ms",
       "How long ExecSync reads on when the command has exited but a child holds its output.",
       PLACE(exec.drain_ms), nullptr, 0, 60000},
      {"streaming.address",
       "Where exec, attach and port-forward are served, to the kubelet or crictl; port 0: any.",
       PLACE(streaming.address), CheckStreamAddress},
      {"streaming.tls_certificate",
       "PEM file with the chain, then HTTPS is spoken; read again when it changes. Empty: plain "
       "HTTP.",
       PLACE(streaming.tls_certificate), CheckPath},
      {"streaming.tls_key", "PEM file of its key, without a password; may be the same file.",
       PLACE(streaming.tls_key), CheckPath},
      {"streaming.tls_client_ca",
       "PEM file: only clients with a certificate of these CAs. Empty: any, its token says who it "
       "is.",
       PLACE(streaming.tls_client_ca), CheckPath},
      {"streaming.on_disconnect",
       "An exec whose client is gone: hangup (SIGHUP, then SIGKILL), kill or leave.",
       PLACE(streaming.on_disconnect), CheckOnDisconnect},
      {"streaming.hangup_grace_ms", "From SIGHUP to SIGKILL.", PLACE(streaming.hangup_grace_ms),
       nullptr, 0, 60000},
      {"streaming.attach_wait_ms",
       "How long an attached client that does not read may hold its container up. 0: never.",
       PLACE(streaming.attach_wait_ms), nullptr, 0, 600000},
      {"debug.kernel_features_off",
       "Pretend that the kernel lacks these, as [\"overlay_lowerdir_plus\"].",
       PLACE(debug.kernel_features_off), CheckWord},
  };
}

std::vector<RegistryField> MakeRegistryFields() {
  return {
      {"endpoint", "Where to pull from instead, as \"https://mirror.example:443\".",
       PLACE(endpoint), CheckUrl},
      {"plain_http", "Allow HTTP (always allowed for loopback hosts).", PLACE(plain_http)},
      {"skip_verify", "Do not check the TLS certificate.", PLACE(skip_verify)},
      {"ca_file", "PEM file with the CAs to trust instead of the system's.", PLACE(ca_file),
       CheckPath},
  };
}

std::vector<HandlerField> MakeHandlerFields() {
  return {
      {"runtime", "Absolute path of an OCI runtime, as \"/usr/bin/crun\". Empty: built in.",
       PLACE(runtime), CheckPath},
      {"runtime_args", "Its global options, as [\"--systemd-cgroup\"].", PLACE(runtime_args),
       CheckWord},
      {"rlimits", "Instead of the usual ones, as [\"nofile=1024:524288\", \"core=0\"].",
       PLACE(rlimits), CheckWord},
      {"seccomp", "For requests that name no profile: \"runtime-default\". Empty: none.",
       PLACE(seccomp), CheckHandlerSeccomp},
  };
}

#undef PLACE

}  // namespace

const std::vector<Field>& ConfigFields() {
  static const auto* fields = new std::vector<Field>(MakeFields());
  return *fields;
}

const std::vector<HandlerField>& HandlerFields() {
  static const auto* fields = new std::vector<HandlerField>(MakeHandlerFields());
  return *fields;
}

const std::vector<RegistryField>& RegistryFields() {
  static const auto* fields = new std::vector<RegistryField>(MakeRegistryFields());
  return *fields;
}

}  // namespace crisp
