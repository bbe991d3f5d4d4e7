// crisp: the operator's command line; a plain CRI client.
#include <cstdio>
#include <string>
#include <vector>

#include "cri/cli/verb.h"
#include "runtime/base/files.h"

namespace {

using crisp::cli::Invocation;

int Fail(absl::string_view verb, const absl::Status& status) {
  const std::string line =
      absl::StrCat("crisp: ", verb, verb.empty() ? "" : ": ", status.message(), "\n");
  (void)crisp::WriteAll(2, line);
  return 1;
}

int Main(std::vector<std::string> words) {
  const auto call = crisp::cli::ParseArguments(words);
  if (!call.ok()) return Fail(words.empty() ? "" : words[0], call.status());
  const crisp::cli::Verb* verb = crisp::cli::FindVerb(call->verb);
  if (call->Has("help") && call->verb != "help") {
    (void)crisp::WriteAll(1, crisp::cli::HelpFor(*verb));
    return 0;
  }
  const auto code = verb->run(*call);
  return code.ok() ? *code : Fail(call->verb, code.status());
}

}  // namespace

int main(int argc, char** argv) { return Main({argv + (argc > 0 ? 1 : 0), argv + argc}); }
