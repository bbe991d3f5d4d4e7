// The words of `crisp`: what each takes, says about itself and does.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "cri/cli/cri_client.h"
#include "runtime/base/status.h"

namespace crisp::cli {

struct Option {
  const char* name;   // without the dashes
  char letter;        // 0 = none
  const char* value;  // what help calls the value; nullptr = a flag
  const char* help;
};

// The words of one call, taken apart.
class Invocation {
 public:
  std::string verb;
  std::map<std::string, std::vector<std::string>> options;
  std::vector<std::string> args;

  bool Has(const std::string& option) const { return options.count(option) != 0; }
  // The last one wins.
  std::string Get(const std::string& option, absl::string_view fallback = "") const;
  const std::vector<std::string>& All(const std::string& option) const;
  StatusOr<int64_t> GetInt(const std::string& option, int64_t fallback, int64_t min,
                           int64_t max) const;
  bool json() const { return Get("output") == "json"; }
};

struct Verb {
  const char* name;
  const char* arguments;  // for help: "IMAGE [CMD...]"
  const char* help;       // first line: summary
  std::vector<Option> options;
  size_t min_args, max_args;
  bool takes_command;  // options end at the first argument: the rest belongs to the container
  StatusOr<int> (*run)(const Invocation&);  // exit code
};

const std::vector<Verb>& Verbs();
const Verb* FindVerb(absl::string_view name);

// argv without the program's name. The verb is the first word that is no global option.
StatusOr<Invocation> ParseArguments(std::vector<std::string> words);
std::string Overview();
std::string HelpFor(const Verb& verb);

// The endpoint of the call: --endpoint, CRISP_ENDPOINT, CONTAINER_RUNTIME_ENDPOINT, default.
StatusOr<std::unique_ptr<CriClient>> ConnectFor(const Invocation& call);

StatusOr<int> RunPull(const Invocation& call);
StatusOr<int> RunImages(const Invocation& call);
StatusOr<int> RunRemoveImage(const Invocation& call);
StatusOr<int> RunRun(const Invocation& call);
StatusOr<int> RunPs(const Invocation& call);
StatusOr<int> RunPods(const Invocation& call);
StatusOr<int> RunLogs(const Invocation& call);
StatusOr<int> RunExec(const Invocation& call);
StatusOr<int> RunAttach(const Invocation& call);
StatusOr<int> RunPortForward(const Invocation& call);
StatusOr<int> RunStop(const Invocation& call);
StatusOr<int> RunRemove(const Invocation& call);
StatusOr<int> RunStatus(const Invocation& call);
StatusOr<int> RunInspect(const Invocation& call);
StatusOr<int> RunConfig(const Invocation& call);
StatusOr<int> RunVersion(const Invocation& call);
StatusOr<int> RunHelp(const Invocation& call);

}  // namespace crisp::cli
