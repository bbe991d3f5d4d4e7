// ExecSync in a container of an external runtime: `RUNTIME exec`, which passes its descriptors on,
// waits and ends with the command's exit code.
#include <signal.h>

#include <algorithm>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "runtime/base/files.h"
#include "runtime/base/id.h"
#include "runtime/base/pending.h"
#include "runtime/base/stages.h"
#include "runtime/container/exec_cgroup.h"
#include "runtime/container/output_collector.h"
#include "runtime/oci/bundle.h"
#include "runtime/oci/host_program.h"
#include "runtime/oci/oci_runtime.h"
#include "runtime/sys/clone.h"

namespace crisp::runtime {
namespace {

constexpr int kReapMs = 5000, kKillRounds = 20;
constexpr size_t kMaxTree = 100000, kMaxFile = 1 << 20;

int64_t After(int milliseconds) { return MonotonicNanos() + int64_t{milliseconds} * 1000000; }

// The files of one exec in the bundle: each exec has its own.
struct ExecFiles {
  std::string dir, pid, log;

  explicit ExecFiles(const std::string& bundle) : dir(bundle) {
    const std::string name = "exec-" + RandomHex(8);
    pid = name + ".pid";
    log = name + ".log";
  }
  ~ExecFiles() {
    const auto fd = OpenDir(dir);
    if (!fd.ok()) return;
    for (const std::string& name : {pid, log}) (void)RemoveTreeAt(fd->get(), name);
  }
  std::string Path(const std::string& name) const { return absl::StrCat(dir, "/", name); }
};

void AddChildren(pid_t pid, std::set<pid_t>* tree) {
  const auto threads = OpenDir(absl::StrCat("/proc/", pid, "/task"));
  if (!threads.ok()) return;
  for (const std::string& thread : ListDir(threads->get()).value_or(std::vector<std::string>{})) {
    const auto children = ReadFileAt(threads->get(), thread + "/children", kMaxFile);
    if (!children.ok()) continue;
    for (const absl::string_view word : absl::StrSplit(*children, ' ', absl::SkipEmpty())) {
      pid_t child = 0;
      if (!absl::SimpleAtoi(word, &child) || tree->size() >= kMaxTree) continue;
      if (tree->insert(child).second) AddChildren(child, tree);
    }
  }
}

std::set<pid_t> TreeOf(pid_t root) {
  std::set<pid_t> tree = {root};
  AddChildren(root, &tree);
  return tree;
}

std::vector<std::string> Command(const std::vector<std::string>& runtime, const ExecFiles& files,
                                 const std::string& id, const ExecSpec& exec) {
  std::vector<std::string> words = runtime;
  for (const std::string& word :
       {std::string("--log"), files.Path(files.log), std::string("--log-format"),
        std::string("json"), std::string("exec"), std::string("--pid-file"), files.Path(files.pid),
        id})
    words.push_back(word);
  words.insert(words.end(), exec.args.begin(), exec.args.end());
  return words;
}

void KillExec(const ExecFiles& files) {
  const auto text = ReadFile(files.Path(files.pid), 64);
  pid_t pid = 0;
  if (text.ok() && absl::SimpleAtoi(absl::StripAsciiWhitespace(*text), &pid) && pid > 1)
    KillTree(pid);
}

}  // namespace

// Pinned, then looked for again (R15). Children that appear meanwhile are met by the next round;
// what has left the tree (a second fork) is not found: the container's own cgroup ends it.
void KillTree(pid_t root) {
  std::set<pid_t> done;
  for (int round = 0; round < kKillRounds; ++round) {
    std::vector<std::pair<pid_t, UniqueFd>> fresh;
    for (const pid_t pid : TreeOf(root)) {
      UniqueFd pidfd(done.count(pid) == 0 ? sys::PidfdOpen(pid) : -1);
      if (pidfd.valid()) fresh.emplace_back(pid, std::move(pidfd));
    }
    if (fresh.empty()) return;
    const std::set<pid_t> again = TreeOf(root);
    // Children before parents: an orphan would leave the tree.
    for (auto each = fresh.rbegin(); each != fresh.rend(); ++each) {
      if (again.count(each->first) != 0) sys::PidfdSendSignal(each->second.get(), SIGKILL);
      done.insert(each->first);
    }
  }
}

StatusOr<ExecOutput> OciRuntime::Exec(const std::string& id, const Identity& identity,
                                      Cgroup& cgroup, const RuntimeContext& context,
                                      const ExecSpec& exec) const {
  if (exec.args.empty()) return InvalidField("cmd", "", "nothing to run");
  const int64_t deadline = exec.timeout_ms > 0 ? After(exec.timeout_ms) : 0;
  const ExecFiles files(Bundle(id));
  const bool own_group = BirthGroup(context, cgroup.v2_fd()) >= 0 && context.features.cgroup_kill;
  ASSIGN_OR_RETURN(const ExecCgroup group,
                   ExecCgroup::Make(cgroup, own_group, context.left_groups));
  ASSIGN_OR_RETURN(Stdio stdio, MakePipes(false, identity.uid));
  ASSIGN_OR_RETURN(HostProgram program,
                   HostProgram::Start(Command(command_, files, id, exec), stdio, context,
                                      BirthGroup(context, group.fd())));
  OutputCollector output(std::move(stdio.out_read), std::move(stdio.err_read), program.pidfd(),
                         exec.output_cap);
  const Status ended = output.UntilExit(deadline);
  if (!ended.ok()) {
    // The group holds the tree unless the runtime has moved it into the container's.
    (void)group.Kill();
    KillExec(files);
    if (!absl::IsDeadlineExceeded(ended)) return ended;
    return absl::DeadlineExceededError(
        absl::StrCat("exec ", exec.args.front(), ": timed out after ", exec.timeout_ms, " ms"));
  }
  output.Drain(After(exec.drain_ms));
  ASSIGN_OR_RETURN(const int status, program.Wait(kReapMs));
  const std::string error = LastError(ReadFile(files.Path(files.log), kMaxFile).value_or(""));
  if (status != 0 && !error.empty())
    return absl::InternalError(absl::StrCat(command_.front(), " exec: ", error));
  return ExecOutput{output.TakeOut(), output.TakeErr(),
                    status == keeper::kUnknownStatus ? 255 : sys::ExitCodeOf(status)};
}

}  // namespace crisp::runtime
