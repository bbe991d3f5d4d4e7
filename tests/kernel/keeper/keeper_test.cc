// The keeper at work: launches, exits, holding, enumeration. Processes are plain children; what
// runs inside a container is tested with runtime/init.
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "absl/strings/match.h"
#include "gmock/gmock.h"
#include "runtime/base/files.h"
#include "runtime/keeper/protocol.h"
#include "runtime/sys/clone.h"
#include "runtime/sys/scm_rights.h"
#include "tests/kernel/keeper/keeper_fixture.h"

namespace crisp::keeper {
namespace {

using ::testing::HasSubstr;

TEST_F(KeeperTest, ReportsExitCodesAndSignals) {
  ASSERT_TRUE(Start("zero", {"/bin/sh", "-c", "exit 0"}).ok());
  ASSERT_TRUE(Start("seven", {"/bin/sh", "-c", "exit 7"}).ok());
  ASSERT_TRUE(Start("killed", {"/bin/sh", "-c", "kill -9 $$"}).ok());
  EXPECT_EQ(sys::ExitCodeOf(exits_.Wait("zero")), 0);
  EXPECT_EQ(sys::ExitCodeOf(exits_.Wait("seven")), 7);
  EXPECT_EQ(sys::ExitCodeOf(exits_.Wait("killed")), 137);
  EXPECT_EQ(exits_.Count("seven"), 1);
  EXPECT_GT(exits_.Event("seven").time_nanos, 0);
}

TEST_F(KeeperTest, MissingProgramIsNotFoundWithStepAndErrno) {
  const auto started = Start("missing", {"/bin/there-is-none"});
  ASSERT_FALSE(started.ok());
  EXPECT_TRUE(absl::IsNotFound(started.status())) << started.status();
  EXPECT_EQ(ErrnoOf(started.status()), ENOENT);
  EXPECT_EQ(std::string(started.status().message()),
            "launch: step execve: /bin/there-is-none: ENOENT (No such file or directory)");
  EXPECT_TRUE(Start("missing", {"/bin/true"}).ok()) << "the name is free again";
}

TEST_F(KeeperTest, SecondLaunchOfAnIdIsRefused) {
  ASSERT_TRUE(Start("one", {"/bin/sleep", "100"}).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(Start("one", {"/bin/true"}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Start("../one", {"/bin/true"}).status()));
}

TEST_F(KeeperTest, HangingLaunchEndsAtItsDeadlineAndOthersGoOn) {
  std::thread hanging([&] {
    const auto started = Start("hang", {"@hang"}, 1500);
    EXPECT_TRUE(absl::IsDeadlineExceeded(started.status())) << started.status();
  });
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(Start("ok" + std::to_string(i), {"/bin/true"}).ok());
  // The child that hangs holds nothing of the others: their pipes have their end.
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(client_->FlushLog("ok" + std::to_string(i), 10000).ok());
  hanging.join();
  EXPECT_TRUE(Start("hang", {"/bin/true"}).ok());
}

// A thread that does not come back is written off and replaced: more of them than there are
// launchers, and launches still work.
TEST_F(KeeperTest, StuckLaunchersAreReplaced) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&, i] {
      LaunchRequest request;
      request.id = "stuck" + std::to_string(i);
      request.plan = Plan({"@stuck"});
      request.fds = {read_end.get()};
      request.deadline_ms = 100 + 5000 * (i >= 4);  // the last two wait for a launcher first
      EXPECT_TRUE(absl::IsDeadlineExceeded(client_->Launch(request).status()));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(Start("after", {"/bin/true"}).ok());
  write_end.Reset();
  EXPECT_EQ(exits_.Wait("after"), 0);
}

// Of different containers and of one: whatever hangs until its deadline delays nobody else.
TEST_F(KeeperTest, ManyHangingLaunchesDelayNobody) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  ASSERT_TRUE(Start("attacker", {"/bin/sleep", "1000"}).ok());
  std::atomic<int> under_way = 0;
  const auto hang = [&](const std::string& id, const std::string& container) {
    ++under_way;
    ExecRequest exec;
    exec.id = id;
    exec.container_id = container;
    exec.plan = Plan({"@stuck"});
    exec.fds = {read_end.get()};
    EXPECT_FALSE(client_->LaunchExec(exec).ok());
    --under_way;
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 20; ++i) threads.emplace_back(hang, "of-one" + std::to_string(i), "attacker");
  for (int i = 0; i < 4; ++i) threads.emplace_back(hang, "of-none" + std::to_string(i), "");
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(Start("ok" + std::to_string(i), {"/bin/true"}).ok());
  EXPECT_EQ(under_way, 24) << "the others waited for the end of those that hang";
  write_end.Reset();
  for (std::thread& thread : threads) thread.join();
}

// The kubelet unmounts volumes long before it removes the container.
TEST_F(KeeperTest, LaunchFdsDoNotKeepAMountBusy) {
  ASSERT_EQ(unshare(CLONE_NEWNS), 0);
  ASSERT_EQ(mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  const std::string volume = dir_ + "/volume";
  ASSERT_EQ(mkdir(volume.c_str(), 0700), 0);
  for (const char* program : {"/bin/true", "/bin/there-is-none"}) {
    ASSERT_EQ(mount("volume", volume.c_str(), "tmpfs", 0, nullptr), 0);
    {
      const UniqueFd held(open(volume.c_str(), O_PATH | O_CLOEXEC));
      const UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
      LaunchRequest request;
      request.id = "c";
      request.plan = Plan({program});
      request.fds = {null.get(), null.get(), null.get(), held.get()};
      const auto launched = client_->Launch(request);
      EXPECT_EQ(launched.ok(), program == std::string("/bin/true"));
      if (launched.ok()) exits_.Wait("c");
    }
    EXPECT_EQ(umount2(volume.c_str(), 0), 0) << program << ": " << strerror(errno);
    client_->Drop("c");
  }
}

TEST_F(KeeperTest, ManyThreadsLaunchAtOnce) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 10; ++i) {
        const std::string id = "c" + std::to_string(t) + "-" + std::to_string(i);
        const std::string code = std::to_string((t * 10 + i) % 200);
        EXPECT_TRUE(Start(id, {"/bin/sh", "-c", "echo " + id + "; exit " + code}).ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int n = 0; n < 80; ++n) {
    const std::string id = "c" + std::to_string(n / 10) + "-" + std::to_string(n % 10);
    EXPECT_EQ(sys::ExitCodeOf(exits_.Wait(id)), n % 200);
    EXPECT_TRUE(client_->FlushLog(id, 5000).ok());
    EXPECT_EQ(Replay(ParseLog(Log(id)), "stdout"), id + "\n");
  }
}

TEST_F(KeeperTest, SignalGoesByPidfdAndSaysWhenTheProcessIsGone) {
  ASSERT_TRUE(Start("s", {"/bin/sleep", "100"}).ok());
  EXPECT_TRUE(client_->Signal("s", SIGTERM).ok());
  EXPECT_EQ(sys::ExitCodeOf(exits_.Wait("s")), 143);
  EXPECT_TRUE(absl::IsNotFound(client_->Signal("s", SIGTERM)));
  EXPECT_TRUE(absl::IsNotFound(client_->Signal("nobody", SIGTERM)));
}

// The caller has its status from the pidfd, once the keeper has reaped it.
TEST_F(KeeperTest, ExecIsReapedAndFreedWithItsDrop) {
  ASSERT_TRUE(Start("c", {"/bin/sleep", "100"}).ok());
  const size_t before = CountFds(client_->keeper_pid());
  ExecRequest request;
  request.id = "e1";
  request.container_id = "c";
  request.plan = Plan({"/bin/sh", "-c", "exit 5"});
  auto launched = client_->LaunchExec(request);
  ASSERT_TRUE(launched.ok()) << launched.status();
  pollfd reaped{launched->pidfd.get(), 0, 0};  // POLLHUP
  ASSERT_EQ(poll(&reaped, 1, 30000), 1);
  int status = 0;
  ASSERT_EQ(sys::PidfdExitStatus(launched->pidfd.get(), &status), 0);
  EXPECT_EQ(sys::ExitCodeOf(status), 5);
  client_->Drop("e1");
  EXPECT_TRUE(client_->FlushLog("c", 1000).ok());  // a round trip: the drop is done
  EXPECT_EQ(CountFds(client_->keeper_pid()), before);
  request.container_id = "none";
  EXPECT_TRUE(absl::IsNotFound(client_->LaunchExec(request).status()));
}

TEST_F(KeeperTest, NewClientGetsEverythingBack) {
  const UniqueFd file(open("/etc/hostname", O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(client_->HoldPod("pod1", {.net = file.get(), .files = file.get()}).ok());
  const auto running = Start("running", {"/bin/sleep", "100"});
  ASSERT_TRUE(running.ok());
  ASSERT_TRUE(Start("gone", {"/bin/sh", "-c", "echo bye; exit 3"}).ok());
  ASSERT_TRUE(Start("acked", {"/bin/sh", "-c", "exit 4"}).ok());
  EXPECT_EQ(sys::ExitCodeOf(exits_.Wait("gone")), 3);
  EXPECT_EQ(sys::ExitCodeOf(exits_.Wait("acked")), 4);
  client_->AckExit("acked");
  const pid_t keeper = client_->keeper_pid();
  client_.reset();
  Connect();
  EXPECT_EQ(client_->keeper_pid(), keeper);
  const auto pods = client_->EnumeratePods();
  ASSERT_TRUE(pods.ok());
  ASSERT_EQ(pods->size(), 1u);
  struct stat want, got;
  ASSERT_EQ(fstat(file.get(), &want) + fstat(pods->at(0).files.get(), &got), 0);
  EXPECT_EQ(want.st_ino, got.st_ino);
  EXPECT_FALSE(pods->at(0).ipc.valid());
  const auto containers = client_->EnumerateContainers();
  ASSERT_TRUE(containers.ok());
  ASSERT_EQ(containers->size(), 3u);
  for (const HeldContainer& container : *containers) {
    EXPECT_EQ(container.exited, container.id != "running");
    EXPECT_TRUE(container.pidfd.valid());
    if (container.id == "running") {
      EXPECT_EQ(container.pid, running->pid);
    }
    if (container.id == "gone") {
      EXPECT_EQ(sys::ExitCodeOf(container.exit.wait_status), 3);
    }
  }
  // Told again, as nobody has acknowledged it; what was acknowledged is not.
  EXPECT_TRUE(client_->Signal("running", SIGKILL).ok());
  exits_.Wait("running");
  EXPECT_EQ(exits_.Count("gone"), 2);
  EXPECT_EQ(exits_.Count("acked"), 1);
}

TEST_F(KeeperTest, OneDaemonAtATime) {
  ASSERT_TRUE(Start("c", {"/bin/sleep", "100"}).ok());
  const auto second = KeeperClient::Connect(Options(), [](const ExitEvent&) {});
  ASSERT_FALSE(second.ok());
  EXPECT_TRUE(absl::IsUnavailable(second.status()));
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr("another daemon: pid " + std::to_string(getpid())));
  EXPECT_TRUE(client_->Signal("c", SIGKILL).ok());
  exits_.Wait("c");
}

// A daemon that speaks the protocol by hand.
class RawDaemon {
 public:
  explicit RawDaemon(const std::string& dir)
      : socket_(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{AF_UNIX, {}};
    strcpy(address.sun_path, (dir + "/keeper/keeper.sock").c_str());
    EXPECT_EQ(connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }
  void Send(const void* data, size_t size, const std::vector<int>& fds = {}) {
    EXPECT_EQ(sys::SendPacket(socket_.get(), data, size, fds.data(), fds.size()), 0);
  }
  // The next answer; events are passed over. False: the keeper has closed.
  bool Receive(Reply* reply) {
    for (;;) {
      int fds[sys::kMaxPacketFds];
      sys::ReceivedPacket packet;
      const int err = sys::ReceivePacket(socket_.get(), reply, sizeof(*reply), fds, &packet);
      for (size_t i = 0; err == 0 && i < packet.fd_count; ++i) close(fds[i]);
      if (err != 0 || packet.size <= 0) return false;
      if (reply->sequence != 0) return true;
    }
  }
  int Ask(Request request, const std::vector<int>& fds = {}) {
    request.sequence = 9;
    Send(&request, sizeof(request), fds);
    Reply reply{};
    return Receive(&reply) ? reply.error : -1;
  }

 private:
  UniqueFd socket_;
};

Request RawRequest(RequestType type, const char* id, uint16_t major = kMajor) {
  Request request{};
  request.magic = kMagic;
  request.major = major;
  request.type = type;
  strcpy(request.id, id);
  return request;
}

TEST_F(KeeperTest, UnknownMajorAndRubbishAreRefusedAndDoNotHarm) {
  ASSERT_TRUE(client_->HoldPod("keep", {}).ok());
  client_.reset();
  for (const uint16_t major : {uint16_t{2}, uint16_t{0}}) {
    RawDaemon daemon(dir_);
    EXPECT_EQ(daemon.Ask(RawRequest(RequestType::kHello, "", major)), EPROTONOSUPPORT);
    daemon.Send("rubbish", 7);
    Reply reply{};
    EXPECT_FALSE(daemon.Receive(&reply));
  }
  {
    RawDaemon daemon(dir_);  // everything but the greeting comes second
    EXPECT_EQ(daemon.Ask(RawRequest(RequestType::kGet, "")), -1);
  }
  Connect();
  EXPECT_EQ(client_->EnumeratePods()->size(), 1u);
}

// A keeper that died between a rotation and its answer is asked for it again, when lines may be in
// the new file already: they must not be overwritten.
TEST_F(KeeperTest, RotationAskedForAgainChangesNothing) {
  ASSERT_TRUE(Start("c", Workload({"slow", "tick", "100000", "100", "0"})).ok());
  client_.reset();
  {
    RawDaemon daemon(dir_);
    EXPECT_EQ(daemon.Ask(RawRequest(RequestType::kHello, "")), 0);
    const UniqueFd log(open(LogPath("new").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    Request rotate = RawRequest(RequestType::kSetLog, "c");
    rotate.generation = 1;
    Request flush = RawRequest(RequestType::kFlush, "c");
    flush.deadline_ms = 1000;
    EXPECT_EQ(daemon.Ask(rotate, {log.get()}), 0);
    while (Log("new").size() < 200) ASSERT_EQ(daemon.Ask(flush), 0);
    const std::string seen = Log("new");
    EXPECT_EQ(daemon.Ask(rotate, {log.get()}), 0);
    const size_t more = seen.size() + 200;
    while (Log("new").size() < more) ASSERT_EQ(daemon.Ask(flush), 0);
    EXPECT_TRUE(absl::StartsWith(Log("new"), seen));
  }
  Connect();
  EXPECT_TRUE(client_->Signal("c", SIGKILL).ok());
  exits_.Wait("c");
}

TEST_F(KeeperTest, RunsSealedDetachedAndUndumpable) {
  const std::string proc = "/proc/" + std::to_string(client_->keeper_pid());
  char exe[256] = {};
  ASSERT_GT(readlink((proc + "/exe").c_str(), exe, sizeof(exe) - 1), 0);
  EXPECT_THAT(std::string(exe), HasSubstr("memfd:crisp-keeper"));
  EXPECT_LT(open((proc + "/exe").c_str(), O_WRONLY | O_CLOEXEC), 0) << "must not be writable";
  const UniqueFd program(open((proc + "/exe").c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(fcntl(program.get(), F_GET_SEALS) & F_SEAL_WRITE, F_SEAL_WRITE);
  const std::string stat = *ReadFile(proc + "/stat");
  const pid_t parent = static_cast<pid_t>(atoi(stat.c_str() + stat.find(") S ") + 4));
  EXPECT_NE(parent, getpid());
  EXPECT_NE(getsid(client_->keeper_pid()), getsid(0));
  EXPECT_EQ(*ReadFile(proc + "/environ"), "");
}

}  // namespace
}  // namespace crisp::keeper
