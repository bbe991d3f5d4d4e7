// The table of verbs: help text and options stand together here.
#include "cri/cli/verb.h"

namespace crisp::cli {
namespace {

constexpr size_t kMany = 4096;

std::vector<Verb> ContainerVerbs() {
  return {
      {"run",
       "IMAGE [CMD...]",
       "Start a container in a pod of its own.\n"
       "Pulls the image if it is not there. Follows the output until the container ends and\n"
       "returns its exit code; ctrl-C stops it. With -d prints the container's id instead.",
       {{"detach", 'd', nullptr, "leave it running, print its id"},
        {"name", 'n', "NAME", "name of pod and container (image and a random suffix)"},
        {"net", 0, "pod|host", "own network (default) or the host's"},
        {"env", 'e', "K=V", "environment; K alone takes our value"},
        {"mount", 'v', "HOST:CTR[:ro]", "bind mount"},
        {"user", 'u', "USER[:GID]", "number or name of the user"},
        {"workdir", 'w', "DIR", "working directory"},
        {"privileged", 0, nullptr, "all capabilities and devices, no seccomp"},
        {"rm", 0, nullptr, "remove the pod when the container has ended"}},
       1,
       kMany,
       true,
       RunRun},
      {"ps",
       "",
       "List containers.",
       {{"all", 'a', nullptr, "those that do not run, too"}, {"quiet", 'q', nullptr, "ids only"}},
       0,
       0,
       false,
       RunPs},
      {"pods", "", "List pods.", {{"quiet", 'q', nullptr, "ids only"}}, 0, 0, false, RunPods},
      {"logs",
       "CONTAINER",
       "Print what a container wrote.",
       {{"follow", 'f', nullptr, "go on until the container ends"},
        {"tail", 0, "N", "only the last N lines"},
        {"timestamps", 't', nullptr, "put the time before each line"}},
       1,
       1,
       false,
       RunLogs},
  };
}

Option StreamCa() {
  return {"ca", 0, "FILE", "whom to trust if the runtime's streams are https (PEM)"};
}

std::vector<Verb> StreamVerbs() {
  return {
      {"exec",
       "CONTAINER CMD...",
       "Run a command in a container.\n"
       "Prints its output when it has ended and returns its exit code; with -i or -t it is tied "
       "to\n"
       "our own streams while it runs, and ends with us.",
       {{"interactive", 'i', nullptr, "give it our input"},
        {"tty", 't', nullptr, "give it a terminal"},
        {"timeout", 0, "SECONDS", "kill it after this time (0: never)"},
        StreamCa()},
       2,
       kMany,
       true,
       RunExec},
      {"attach",
       "CONTAINER",
       "Follow what a container writes from now on, as it writes it.\n"
       "The container goes on when we end.",
       {{"interactive", 'i', nullptr, "give it our input, if it was created with stdin"},
        {"tty", 't', nullptr, "it was created with a terminal; ctrl-P ctrl-Q leaves"},
        StreamCa()},
       1,
       1,
       false,
       RunAttach},
      {"port-forward",
       "POD|CONTAINER [LOCAL:]PORT...",
       "Forward ports of 127.0.0.1 to a pod's, until ctrl-C.",
       {StreamCa()},
       2,
       kMany,
       false,
       RunPortForward},
  };
}

std::vector<Verb> EndingVerbs() {
  return {
      {"stop",
       "CONTAINER|POD...",
       "Stop containers or pods.",
       {{"time", 't', "SECONDS", "between SIGTERM and SIGKILL (10)"}},
       1,
       kMany,
       false,
       RunStop},
      {"rm",
       "CONTAINER|POD...",
       "Remove containers or pods.\n"
       "A pod that `crisp run` made goes with its container.",
       {{"force", 'f', nullptr, "even if it runs"}},
       1,
       kMany,
       false,
       RunRemove},
  };
}

std::vector<Verb> ImageAndNodeVerbs() {
  return {
      {"pull", "IMAGE...", "Pull images.", {}, 1, kMany, false, RunPull},
      {"images", "", "List images.", {{"quiet", 'q', nullptr, "ids only"}}, 0, 0, false, RunImages},
      {"rmi", "IMAGE...", "Remove images.", {}, 1, kMany, false, RunRemoveImage},
      {"inspect",
       "CONTAINER|POD|IMAGE",
       "Print all that the runtime knows about an object, as JSON.\n"
       "With crisp this includes where the time of its calls went (info.timing).",
       {},
       1,
       1,
       false,
       RunInspect},
      {"status",
       "",
       "Tell whether the runtime is ready; exit code 1 if it is not.",
       {{"verbose", 'v', nullptr, "with the runtime's own information"}},
       0,
       0,
       false,
       RunStatus},
      {"config",
       "default|dump|check",
       "Print the default settings, those in force, or check the files.",
       {{"config", 0, "FILE", "settings (/etc/crisp/crisp.toml; conf.d/*.toml beside it)"}},
       1,
       1,
       false,
       RunConfig},
      {"version", "", "Print the versions of client and runtime.", {}, 0, 0, false, RunVersion},
      {"help", "[VERB]", "Tell about a verb.", {}, 0, 1, false, RunHelp},
  };
}

std::vector<Verb> MakeVerbs() {
  std::vector<Verb> verbs;
  for (auto* part : {ContainerVerbs, StreamVerbs, EndingVerbs, ImageAndNodeVerbs}) {
    for (Verb& verb : part()) verbs.push_back(std::move(verb));
  }
  return verbs;
}

}  // namespace

const std::vector<Verb>& Verbs() {
  static const auto* verbs = new std::vector<Verb>(MakeVerbs());
  return *verbs;
}

}  // namespace crisp::cli
