// Containers of an external OCI runtime: `RUNTIME create|start|kill|delete|exec`, the command line
// that runc, crun and youki share. Cgroup, root and network are ours, the keeper is the parent of
// the container's first process, so logs, exit codes and stops work as for our own.
// docs/design/handlers.md
#pragma once

#include <string>
#include <vector>

#include "runtime/container/container_runtime.h"

namespace crisp::runtime {

class OciRuntime {
 public:
  // `command`: the program and its global options. Its state is in <oci_dir>/<state>, a folder of
  // its own; bundles are in <oci_dir>/<id>.
  OciRuntime(std::vector<std::string> command, std::string oci_dir);

  // Whether there is such a program.
  Status CheckProgram() const;
  // What cannot be had with an external runtime. INVALID_ARGUMENT naming it.
  Status Check(const ContainerSpec& spec) const;

  // As runtime::StartContainer. `default_seccomp`: the default profile, else none.
  StatusOr<StartedContainer> Start(PreparedContainer& prepared, const PodSandbox& pod,
                                   const RuntimeContext& context, const StartOptions& options,
                                   bool default_seccomp) const;
  // A container that was created, but perhaps never started, when the daemon died.
  Status Resume(const std::string& id, const RuntimeContext& context) const;
  // As runtime::ExecInContainer.
  StatusOr<ExecOutput> Exec(const std::string& id, const Identity& identity, Cgroup& cgroup,
                            const RuntimeContext& context, const ExecSpec& exec) const;
  Status Signal(const std::string& id, int signal, const RuntimeContext& context) const;

 private:
  std::string Bundle(const std::string& id) const;

  std::vector<std::string> command_;
  std::string oci_dir_;
};

// Makes the runtime that made container `id` forget it, and removes its bundle; nothing to do for a
// container of our own. Idempotent; may take seconds (janitor). Before DestroyContainer.
Status DestroyOci(const std::string& id, const std::string& oci_dir, const RuntimeContext& context);

// Where a call of the runtime is born. Runtimes move processes into the cgroups that they know; a
// v2 tree beside v1 is not among them, but our kill needs it. Elsewhere they must stay out of the
// container's cgroup: they freeze it when they kill.
int BirthGroup(const RuntimeContext& context, int v2);

// oci_exec.cc: SIGKILL to `root` and all its descendants in /proc.
void KillTree(pid_t root);

}  // namespace crisp::runtime
