#include <algorithm>
#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "cri/cli/verb.h"

namespace crisp::cli {
namespace {

constexpr char kDefaultEndpoint[] = "unix:///run/crisp/crisp.sock";

const std::vector<Option>& GlobalOptions() {
  static const auto* options = new std::vector<Option>{
      {"endpoint", 0, "ADDRESS", "the runtime's socket, as unix:///run/crisp/crisp.sock"},
      {"output", 'o', "json", "print JSON"},
      {"help", 'h', nullptr, "tell about this verb"},
  };
  return *options;
}

const Option* FindOption(const Verb* verb, absl::string_view name, char letter) {
  auto matches = [&](const Option& option) {
    return letter != 0 ? option.letter == letter : name == option.name;
  };
  if (verb != nullptr) {
    const auto own = std::find_if(verb->options.begin(), verb->options.end(), matches);
    if (own != verb->options.end()) return &*own;
  }
  const auto& global = GlobalOptions();
  const auto found = std::find_if(global.begin(), global.end(), matches);
  return found == global.end() ? nullptr : &*found;
}

// One pass over the words. Kept by hand: getopt permutes, but a container's command must stay.
class Parser {
 public:
  explicit Parser(std::vector<std::string> words) : words_(std::move(words)) {}

  StatusOr<Invocation> Parse() {
    while (next_ < words_.size()) RETURN_IF_ERROR(Word(words_[next_++]));
    if (verb_ == nullptr) call_.verb = "help";
    return call_;
  }

 private:
  Status Word(const std::string& word) {
    if (only_arguments_ || word.size() < 2 || word[0] != '-') return Argument(word);
    if (word == "--") {
      only_arguments_ = true;
      return absl::OkStatus();
    }
    return absl::StartsWith(word, "--") ? Long(word) : Short(word);
  }

  Status Argument(const std::string& word) {
    if (verb_ == nullptr) {
      verb_ = FindVerb(word);
      call_.verb = word;
      if (verb_ == nullptr)
        return absl::InvalidArgumentError(absl::StrCat("unknown verb, see crisp help"));
      return absl::OkStatus();
    }
    call_.args.push_back(word);
    only_arguments_ = only_arguments_ || verb_->takes_command;
    return absl::OkStatus();
  }

  Status Long(const std::string& word) {
    const size_t equals = word.find('=');
    const std::string name = word.substr(2, equals == std::string::npos ? equals : equals - 2);
    const Option* option = FindOption(verb_, name, 0);
    if (option == nullptr) return Unknown("--" + name);
    if (equals == std::string::npos) return Take(*option, "--" + name);
    if (option->value == nullptr)
      return absl::InvalidArgumentError(absl::StrCat("--", name, " takes no value"));
    call_.options[name].push_back(word.substr(equals + 1));
    return absl::OkStatus();
  }

  // "-ad" are two flags; "-e" takes the next word or the rest of this one.
  Status Short(const std::string& word) {
    for (size_t i = 1; i < word.size(); ++i) {
      const std::string shown = absl::StrCat("-", word.substr(i, 1));
      const Option* option = FindOption(verb_, "", word[i]);
      if (option == nullptr) return Unknown(shown);
      if (option->value != nullptr && i + 1 < word.size()) {
        call_.options[option->name].push_back(word.substr(i + 1));
        return absl::OkStatus();
      }
      RETURN_IF_ERROR(Take(*option, shown));
    }
    return absl::OkStatus();
  }

  Status Take(const Option& option, const std::string& shown) {
    std::string value;
    if (option.value != nullptr) {
      if (next_ >= words_.size())
        return absl::InvalidArgumentError(absl::StrCat(shown, " needs a value: ", option.value));
      value = words_[next_++];
    }
    call_.options[option.name].push_back(value);
    return absl::OkStatus();
  }

  Status Unknown(const std::string& shown) const {
    return absl::InvalidArgumentError(absl::StrCat("unknown option ", shown, ", see crisp ",
                                                   verb_ ? verb_->name : "", verb_ ? " " : "",
                                                   "--help"));
  }

  std::vector<std::string> words_;
  size_t next_ = 0;
  const Verb* verb_ = nullptr;
  bool only_arguments_ = false;
  Invocation call_;
};

void AppendOptions(const std::vector<Option>& options, std::string* text) {
  for (const Option& option : options) {
    std::string left = option.letter ? absl::StrFormat("-%c, ", option.letter) : "    ";
    absl::StrAppend(&left, "--", option.name, option.value ? " " : "",
                    option.value ? option.value : "");
    absl::StrAppendFormat(text, "  %-26s %s\n", left, option.help);
  }
}

absl::string_view Summary(const Verb& verb) {
  const absl::string_view help = verb.help;
  return help.substr(0, help.find('\n'));
}

}  // namespace

std::string Invocation::Get(const std::string& option, absl::string_view fallback) const {
  const auto found = options.find(option);
  return found == options.end() ? std::string(fallback) : found->second.back();
}

const std::vector<std::string>& Invocation::All(const std::string& option) const {
  static const auto* none = new std::vector<std::string>;
  const auto found = options.find(option);
  return found == options.end() ? *none : found->second;
}

StatusOr<int64_t> Invocation::GetInt(const std::string& option, int64_t fallback, int64_t min,
                                     int64_t max) const {
  if (!Has(option)) return fallback;
  int64_t number = 0;
  if (!absl::SimpleAtoi(Get(option), &number) || number < min || number > max)
    return InvalidField("--" + option, Get(option),
                        absl::StrCat("must be a number from ", min, " to ", max));
  return number;
}

StatusOr<Invocation> ParseArguments(std::vector<std::string> words) {
  ASSIGN_OR_RETURN(Invocation call, Parser(std::move(words)).Parse());
  if (call.Has("help")) return call;
  if (call.Has("output") && !call.json())
    return InvalidField("--output", call.Get("output"), "must be json");
  const Verb* verb = FindVerb(call.verb);
  if (call.args.size() < verb->min_args || call.args.size() > verb->max_args)
    return absl::InvalidArgumentError(
        absl::StrCat("usage: crisp ", verb->name, " [options] ", verb->arguments));
  return call;
}

const Verb* FindVerb(absl::string_view name) {
  for (const Verb& verb : Verbs())
    if (name == verb.name) return &verb;
  return nullptr;
}

std::string Overview() {
  std::string text =
      "usage: crisp VERB [options] ...\n"
      "Talks to a Kubernetes container runtime (CRI) on its unix socket.\n\n";
  for (const Verb& verb : Verbs())
    absl::StrAppendFormat(&text, "  %-12s %s\n", verb.name, Summary(verb));
  absl::StrAppend(&text, "\nFor every verb:\n");
  AppendOptions(GlobalOptions(), &text);
  absl::StrAppend(&text, "\nWithout --endpoint: $CRISP_ENDPOINT, $CONTAINER_RUNTIME_ENDPOINT, ",
                  kDefaultEndpoint, ".\nMore: crisp VERB --help\n");
  return text;
}

std::string HelpFor(const Verb& verb) {
  std::string text = absl::StrCat("usage: crisp ", verb.name, " [options] ", verb.arguments, "\n",
                                  verb.help, "\n\n");
  AppendOptions(verb.options, &text);
  AppendOptions(GlobalOptions(), &text);
  return text;
}

StatusOr<std::unique_ptr<CriClient>> ConnectFor(const Invocation& call) {
  if (call.Has("endpoint")) return CriClient::Connect(call.Get("endpoint"));
  for (const char* name : {"CRISP_ENDPOINT", "CONTAINER_RUNTIME_ENDPOINT"}) {
    const char* endpoint = getenv(name);
    if (endpoint != nullptr && *endpoint != '\0') return CriClient::Connect(endpoint);
  }
  return CriClient::Connect(kDefaultEndpoint);
}

}  // namespace crisp::cli
