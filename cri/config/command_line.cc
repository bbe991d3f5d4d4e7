#include <getopt.h>

#include "cri/config/config.h"

namespace crisp {

StatusOr<CommandLine> ParseCommandLine(int argc, char* const* argv) {
  constexpr option kOptions[] = {{"config", required_argument, nullptr, 'c'},
                                 {"root", required_argument, nullptr, 'r'},
                                 {"state", required_argument, nullptr, 's'},
                                 {"socket", required_argument, nullptr, 'S'},
                                 {"log-level", required_argument, nullptr, 'l'},
                                 {"version", no_argument, nullptr, 'V'},
                                 {"help", no_argument, nullptr, 'h'},
                                 {nullptr, 0, nullptr, 0}};
  CommandLine line;
  optind = 0;  // glibc: start over, a test parses more than once
  opterr = 0;
  for (int c; (c = getopt_long(argc, argv, "+:hV", kOptions, nullptr)) != -1;) {
    switch (c) {
      case 'c':
        line.config = optarg;
        break;
      case 'r':
        line.root = optarg;
        break;
      case 's':
        line.state = optarg;
        break;
      case 'S':
        line.socket = optarg;
        break;
      case 'l':
        line.log_level = optarg;
        break;
      case 'V':
        line.version = true;
        break;
      case 'h':
        line.help = true;
        break;
      case ':':
        return InvalidField("option", argv[optind - 1], "needs a value");
      default:
        return InvalidField("option", argv[optind - 1], "unknown, see --help");
    }
  }
  if (optind < argc) return InvalidField("argument", argv[optind], "crispd takes options only");
  return line;
}

std::string CommandLineHelp() {
  return "usage: crispd [--config FILE] [--root DIR] [--state DIR] [--socket PATH]\n"
         "              [--log-level debug|info|warning|error]\n"
         "The crisp container runtime: answers the Kubernetes CRI on a unix socket until SIGTERM;\n"
         "containers go on running.\n"
         "  --config FILE   settings (/etc/crisp/crisp.toml; conf.d/*.toml beside it)\n"
         "  --root DIR      images (/var/lib/crisp)\n"
         "  --state DIR     pods and sockets of this boot (/run/crisp)\n"
         "  --socket PATH   the CRI (<state>/crisp.sock)\n"
         "  --log-level L   info\n"
         "  --version, --help\n";
}

}  // namespace crisp
