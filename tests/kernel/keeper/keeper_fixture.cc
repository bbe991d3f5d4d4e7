#include "tests/kernel/keeper/keeper_fixture.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <chrono>

#include "absl/strings/ascii.h"
#include "runtime/base/files.h"
#include "runtime/sys/clone.h"

namespace crisp::keeper {

size_t CountFds(pid_t pid) {
  const std::string path =
      "/proc/" + (pid == 0 ? std::string("self") : std::to_string(pid)) + "/fd";
  auto dir = OpenDir(path);
  if (!dir.ok()) return 0;
  auto names = ListDir(dir->get());
  return names.ok() ? names->size() : 0;
}

bool WaitDead(int pidfd, int seconds) {
  pollfd entry{pidfd, POLLIN, 0};
  return poll(&entry, 1, seconds * 1000) > 0;
}

namespace {

// "0" stands for any digit.
bool IsTime(const std::string& text) {
  static constexpr char kShape[] = "0000-00-00T00:00:00.000000000Z";
  for (size_t i = 0; i < sizeof(kShape) - 1; ++i)
    if (kShape[i] == '0' ? !absl::ascii_isdigit(static_cast<unsigned char>(text[i]))
                         : kShape[i] != text[i])
      return false;
  return true;
}

}  // namespace

std::vector<LogRecord> ParseLog(const std::string& log) {
  std::vector<LogRecord> records;
  size_t at = 0;
  while (at < log.size()) {
    const size_t end = log.find('\n', at);
    if (end == std::string::npos) {
      ADD_FAILURE() << "log ends within a line";
      break;
    }
    const std::string line = log.substr(at, end - at);
    at = end + 1;
    if (line.size() < 40 || line[30] != ' ' || line[37] != ' ' || line[39] != ' ') {
      ADD_FAILURE() << "bad log line at " << at << ": " << line.substr(0, 60);
      break;
    }
    LogRecord record{line.substr(0, 30), line.substr(31, 6), line.substr(38, 1), line.substr(40)};
    const bool good = IsTime(record.time) && (record.tag == "F" || record.tag == "P") &&
                      (record.stream == "stdout" || record.stream == "stderr");
    if (!good) ADD_FAILURE() << "bad log line: " << line.substr(0, 60);
    records.push_back(std::move(record));
  }
  return records;
}

std::string Replay(const std::vector<LogRecord>& records, const std::string& stream) {
  std::string text;
  for (const LogRecord& record : records) {
    if (!stream.empty() && record.stream != stream) continue;
    text += record.text;
    if (record.tag == "F") text += '\n';
  }
  return text;
}

void Exits::Add(const ExitEvent& event) {
  std::lock_guard lock(mu_);
  events_[event.id].push_back(event);
  changed_.notify_all();
}

int Exits::Wait(const std::string& id, int seconds) {
  std::unique_lock lock(mu_);
  const bool seen =
      changed_.wait_for(lock, std::chrono::seconds(seconds), [&] { return !events_[id].empty(); });
  EXPECT_TRUE(seen) << "no exit of " << id << " in " << seconds << " s";
  return seen ? events_[id].front().wait_status : -2;
}

int Exits::Count(const std::string& id) {
  std::lock_guard lock(mu_);
  return static_cast<int>(events_[id].size());
}

ExitEvent Exits::Event(const std::string& id) {
  std::lock_guard lock(mu_);
  return events_[id].empty() ? ExitEvent{} : events_[id].front();
}

void KeeperTest::SetUp() {
  char name[] = "/tmp/crisp-keeper-XXXXXX";
  ASSERT_NE(mkdtemp(name), nullptr);
  dir_ = name;
  fds_before_ = CountFds(0);
  Connect();
}

void KeeperTest::Connect() {
  auto client =
      KeeperClient::Connect(Options(), [this](const ExitEvent& event) { exits_.Add(event); });
  ASSERT_TRUE(client.ok()) << client.status();
  client_ = *std::move(client);
}

// Nothing may be left: no descriptor here, no keeper (it ends when it is idle and alone).
void KeeperTest::TearDown() {
  if (client_) {
    UniqueFd keeper(sys::PidfdOpen(client_->keeper_pid()));
    auto containers = client_->EnumerateContainers();
    ASSERT_TRUE(containers.ok());
    for (const HeldContainer& container : *containers) {
      if (!container.exited) sys::PidfdSendSignal(container.pidfd.get(), SIGKILL);
      client_->Drop(container.id);
    }
    containers->clear();
    auto pods = client_->EnumeratePods();
    ASSERT_TRUE(pods.ok());
    for (const HeldPod& pod : *pods) client_->Drop(pod.id);
    pods->clear();
    client_.reset();
    EXPECT_TRUE(keeper.valid() && WaitDead(keeper.get(), 10)) << "idle keeper did not end";
    if (keeper.valid()) sys::PidfdSendSignal(keeper.get(), SIGKILL);
  }
  EXPECT_EQ(CountFds(0), fds_before_) << "descriptors leaked";
  auto tmp = OpenDir("/tmp");
  ASSERT_TRUE(tmp.ok());
  EXPECT_TRUE(RemoveTreeAt(tmp->get(), dir_.substr(5)).ok());
}

KeeperOptions KeeperTest::Options() const {
  KeeperOptions options;
  options.binary = CRISP_TEST_KEEPER;
  options.socket_dir = dir_ + "/keeper";
  options.features.pidfd_exit_info = true;
  return options;
}

std::string KeeperTest::Plan(const std::vector<std::string>& argv) {
  std::string plan;
  for (const std::string& word : argv) plan += word + '\0';
  return plan;
}

std::vector<std::string> KeeperTest::Workload(std::vector<std::string> args) {
  args.insert(args.begin(), CRISP_TEST_WORKLOAD);
  return args;
}

StatusOr<Started> KeeperTest::Start(const std::string& id, const std::vector<std::string>& argv,
                                    int deadline_ms) {
  int out[2], err[2];
  if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe");
  const UniqueFd out_read(out[0]), out_write(out[1]), err_read(err[0]), err_write(err[1]);
  const UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  const UniqueFd log(open(LogPath(id).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  LaunchRequest request;
  request.id = id;
  request.plan = Plan(argv);
  request.fds = {null.get(), out_write.get(), err_write.get()};
  request.stdout_read = out_read.get();
  request.stderr_read = err_read.get();
  request.log = log.get();
  request.deadline_ms = deadline_ms;
  ASSIGN_OR_RETURN(LaunchResult result, client_->Launch(request));
  return Started{id, result.pid, std::move(result.pidfd)};
}

std::string KeeperTest::Log(const std::string& id) const {
  auto text = ReadFile(LogPath(id), 1 << 30);
  EXPECT_TRUE(text.ok()) << text.status();
  return text.ok() ? *text : "";
}

void KeeperTest::KillKeeper() {
  const pid_t pid = client_->keeper_pid();
  if (pid <= 0) return;  // it is just being replaced
  const UniqueFd keeper(sys::PidfdOpen(pid));
  if (!keeper.valid()) return;
  ASSERT_EQ(sys::PidfdSendSignal(keeper.get(), SIGKILL), 0);
  ASSERT_TRUE(WaitDead(keeper.get(), 10));
}

}  // namespace crisp::keeper
