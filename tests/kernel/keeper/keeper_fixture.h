// A keeper of its own for each test, containers that are plain processes, and their logs read back.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/keeper/client.h"

namespace crisp::keeper {

struct LogRecord {
  std::string time, stream, tag, text;
};

// What the log says the container wrote to `stream` ("" = both), and whether it is well formed.
std::vector<LogRecord> ParseLog(const std::string& log);
std::string Replay(const std::vector<LogRecord>& records, const std::string& stream);

// Collects exits; waits for them with a deadline.
class Exits {
 public:
  void Add(const ExitEvent& event);
  // The wait status; fails the test after `seconds`.
  int Wait(const std::string& id, int seconds = 30);
  int Count(const std::string& id);
  ExitEvent Event(const std::string& id);

 private:
  std::mutex mu_;
  std::condition_variable changed_;
  std::map<std::string, std::vector<ExitEvent>> events_;
};

struct Started {
  std::string id;
  pid_t pid = -1;
  UniqueFd pidfd;
};

class KeeperTest : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  void Connect();  // client_
  virtual KeeperOptions Options() const;
  // With pipes for stdout and stderr, and a log in dir_/ID.log.
  StatusOr<Started> Start(const std::string& id, const std::vector<std::string>& argv,
                          int deadline_ms = 30000);
  StatusOr<LaunchRequest> BasicRequest(const std::string& id, const std::vector<std::string>& argv);
  std::string LogPath(const std::string& id) const { return dir_ + "/" + id + ".log"; }
  std::string Log(const std::string& id) const;
  void KillKeeper();  // -9, waits until it is dead
  static std::string Plan(const std::vector<std::string>& argv);
  static std::vector<std::string> Workload(std::vector<std::string> args);

  std::string dir_;
  Exits exits_;
  std::unique_ptr<KeeperClient> client_;
  size_t fds_before_ = 0;
};

size_t CountFds(pid_t pid);  // 0: this process
bool WaitDead(int pidfd, int seconds);

}  // namespace crisp::keeper
