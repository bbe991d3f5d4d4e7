// crispd: reads its configuration, builds the daemon, serves until SIGTERM. Containers go on
// without it.
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <climits>
#include <cstring>

#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "cri/config/config.h"
#include "cri/daemon.h"
#include "runtime/base/log.h"
#include "runtime/base/trim.h"

namespace {

using namespace crisp;

// One line to systemd's socket (sd_notify(3)), if there is one.
void Notify(const char* state) {
  const char* path = getenv("NOTIFY_SOCKET");
  if (path == nullptr || strlen(path) >= sizeof(sockaddr_un::sun_path)) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path, path, strlen(path));
  if (path[0] == '@') address.sun_path[0] = '\0';
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + strlen(path));
  (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&address), size);
  close(fd);
}

void PrepareProcess() {
  mallopt(M_ARENA_MAX, 2);  // many gRPC threads must not mean many heaps
  // Debian builds Abseil with its search for lock cycles on: gRPC's locks would pay for it.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  // What others may read (cgroups seen from a user namespace, logs) is made with its final mode,
  // the rest with 0600 or 0700.
  umask(0022);
  prctl(PR_SET_DUMPABLE, 0);
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  signal(SIGPIPE, SIG_IGN);
}

// Before any thread exists, so that all of them inherit it and only main waits for these.
sigset_t BlockSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int sig : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, sig);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  return set;
}

std::string ProgramDir() {
  char path[PATH_MAX];
  const ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
  if (n <= 0) return "/usr/bin";
  path[n] = '\0';
  return std::string(path).substr(0, std::string(path).rfind('/'));
}

int Fail(const Status& status) {
  fprintf(stderr, "crispd: %s\n", std::string(status.message()).c_str());
  return 1;
}

// SIGHUP: what can change while calls run is taken over; the rest is named and waits for a restart
// of the daemon, which containers do not notice. A bad file changes nothing.
void Reload(const CommandLine& flags, Config* config) {
  const auto read = LoadConfig(flags);
  if (!read.ok())
    return LogError("SIGHUP: configuration not reloaded", {{"error", read.status().ToString()}});
  SetLogLevelByName(read->log_level);
  config->log_level = read->log_level;
  Config rest = *read;
  rest.origins = config->origins;  // lines may have moved
  const bool restart = DumpConfigText(rest) != DumpConfigText(*config);
  LogWarning(restart ? "SIGHUP: log_level reloaded; other settings changed too, and take effect "
                       "when the daemon is restarted (containers go on)"
                     : "SIGHUP: configuration reloaded",
             {{"log_level", config->log_level}});
}

int Serve(Config config, const CommandLine& flags, const sigset_t& signals) {
  auto daemon = cri::Daemon::Start(config, ProgramDir());
  if (!daemon.ok()) return Fail(daemon.status());
  GiveBackIdleMemory();
  LogInfo("serving", {{"socket", config.socket}, {"version", CRISP_VERSION}});
  Notify("READY=1");
  for (;;) {
    int sig = 0;
    sigwait(&signals, &sig);
    if (sig != SIGHUP) break;
    Reload(flags, &config);
  }
  Notify("STOPPING=1");
  LogInfo("stopping; containers go on");
  (*daemon)->Stop(absl::Now() + absl::Seconds(5));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  PrepareProcess();
  const auto flags = ParseCommandLine(argc, argv);
  if (!flags.ok()) return Fail(flags.status());
  if (flags->help) return printf("%s", CommandLineHelp().c_str()), 0;
  if (flags->version) return printf("crispd %s\n", CRISP_VERSION), 0;
  const auto config = LoadConfig(*flags);
  if (!config.ok()) return Fail(config.status());
  SetLogLevelByName(config->log_level);
  const sigset_t signals = BlockSignals();
  return Serve(*config, *flags, signals);
}
