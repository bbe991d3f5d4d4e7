#include "cri/cli/output.h"
#include "cri/cli/verb.h"
#include "cri/config/config.h"

namespace crisp::cli {

StatusOr<int> RunConfig(const Invocation& call) {
  const std::string& what = call.args[0];
  if (what == "default") {
    Print(DefaultConfigText());
    return 0;
  }
  if (what != "dump" && what != "check")
    return InvalidField("argument", what, "must be default, dump or check");
  CommandLine flags;
  if (call.Has("config")) flags.config = call.Get("config");
  ASSIGN_OR_RETURN(const Config config, LoadConfig(flags));
  Print(what == "dump" ? DumpConfigText(config) : "ok\n");
  return 0;
}

}  // namespace crisp::cli
