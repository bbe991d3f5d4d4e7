// Clients that read beside the log.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <thread>

#include "gmock/gmock.h"
#include "runtime/sys/clone.h"
#include "tests/kernel/keeper/keeper_fixture.h"
#include "tests/kernel/keeper/pattern.h"

namespace crisp::keeper {
namespace {

constexpr int kPatienceMs = 30000;

// The daemon's ends of one client.
struct AttachedClient {
  UniqueFd out, err, life;

  // Everything until the end of `fd`.
  static std::string ReadAll(const UniqueFd& fd) { return ReadUntil(fd, ""); }
  static std::string ReadUntil(const UniqueFd& fd, const std::string& want) {
    std::string text;
    pollfd poller{fd.get(), POLLIN, 0};
    char buffer[65536];
    while (want.empty() || text.find(want) == std::string::npos) {
      if (poll(&poller, 1, 60000) <= 0) return text + "<nothing came>";
      const ssize_t got = read(fd.get(), buffer, sizeof(buffer));
      if (got <= 0) return text;
      text.append(buffer, static_cast<size_t>(got));
    }
    return text;
  }
  bool Alive() const {
    pollfd poller{life.get(), POLLIN, 0};
    return poll(&poller, 1, 0) == 0;
  }
  bool WaitEnd() const {
    pollfd poller{life.get(), POLLIN, 0};
    return poll(&poller, 1, 60000) == 1;
  }
};

class AttachTest : public KeeperTest {
 protected:
  AttachedClient Attach(const std::string& id, int patience_ms = kPatienceMs, bool err = true) {
    AttachedClient client;
    UniqueFd out, err_write, life;
    Pipe(&client.out, &out);
    Pipe(&client.life, &life);
    if (err) Pipe(&client.err, &err_write);
    const Status attached =
        client_->Attach(id, out.get(), err_write.get(), life.get(), patience_ms);
    EXPECT_TRUE(attached.ok()) << attached;
    return client;
  }
  static void Pipe(UniqueFd* read_end, UniqueFd* write_end) {
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    read_end->Reset(ends[0]);
    write_end->Reset(ends[1]);
  }
  // A container that waits for its file `go` before it runs `script`.
  void StartWaiting(const std::string& script) {
    const std::string go = dir_ + "/go";
    ASSERT_EQ(mkfifo(go.c_str(), 0600), 0);
    ASSERT_TRUE(Start("c", {"/bin/sh", "-c", "read x <" + go + "; " + script}).ok());
  }
  void Go() {
    const UniqueFd go(open((dir_ + "/go").c_str(), O_WRONLY | O_CLOEXEC));
    ASSERT_EQ(write(go.get(), "x\n", 2), 2);
  }
  std::string Logged(const std::string& stream) {
    EXPECT_EQ(exits_.Wait("c", 60), 0);
    EXPECT_TRUE(client_->FlushLog("c", 30000).ok());
    return Replay(ParseLog(Log("c")), stream);
  }
};

TEST_F(AttachTest, GetsBothStreamsFromNowOnAndTheirEnd) {
  StartWaiting("printf 'half a '; echo line; echo bad >&2; printf prompt");
  const AttachedClient client = Attach("c");
  EXPECT_TRUE(client.Alive());
  EXPECT_FALSE(client_->OutputEnded("c", true, true));
  Go();
  EXPECT_EQ(AttachedClient::ReadAll(client.out), "half a line\nprompt");
  EXPECT_EQ(AttachedClient::ReadAll(client.err), "bad\n");
  EXPECT_TRUE(client.WaitEnd());
  EXPECT_TRUE(client_->OutputEnded("c", true, true));
  EXPECT_EQ(Logged("stdout"), "half a line\nprompt");
  EXPECT_EQ(Logged("stderr"), "bad\n");
}

TEST_F(AttachTest, APromptWithoutANewlineComesAtOnce) {
  StartWaiting("printf '$ '; sleep 1000");
  const AttachedClient client = Attach("c");
  Go();
  EXPECT_EQ(AttachedClient::ReadUntil(client.out, "$ "), "$ ");
}

TEST_F(AttachTest, EveryByteReachesSeveralClientsAndTheLog) {
  constexpr size_t kSize = 8'000'000;
  StartWaiting("exec " + Workload({})[0] + " bytes 5 8000000 0");
  const AttachedClient one = Attach("c"), two = Attach("c"),
                       three = Attach("c", kPatienceMs, false);
  Go();
  std::string text[3];
  std::thread readers[3];
  const AttachedClient* clients[] = {&one, &two, &three};
  for (int i = 0; i < 3; ++i)
    readers[i] = std::thread([&, i] { text[i] = AttachedClient::ReadAll(clients[i]->out); });
  for (std::thread& reader : readers) reader.join();
  const std::string want = PatternBytes(5, kSize);
  for (const std::string& got : text) EXPECT_TRUE(got == want) << got.size();
  EXPECT_TRUE(Logged("stdout") == want);
}

// A client that does not read holds the container up, but for its patience only; then it is cut
// off, and everything is in the log.
TEST_F(AttachTest, WhoDoesNotReadIsCutOffAndTheLogIsComplete) {
  StartWaiting("exec " + Workload({})[0] + " bytes 6 3000000 0");
  const AttachedClient client = Attach("c", 200);
  Go();
  EXPECT_TRUE(Logged("stdout") == PatternBytes(6, 3000000));
  EXPECT_TRUE(client.WaitEnd());
  const std::string got = AttachedClient::ReadAll(client.out);
  EXPECT_LT(got.size(), 300000u);
  EXPECT_TRUE(PatternBytes(6, 3000000).substr(0, got.size()) == got);
}

TEST_F(AttachTest, WithPatienceAStoppedReaderHoldsOnlyItsOwnContainer) {
  StartWaiting("exec " + Workload({})[0] + " bytes 6 3000000 0");
  const AttachedClient client = Attach("c");
  Go();
  // Another container of the same keeper comes to its end meanwhile.
  ASSERT_TRUE(Start("other", Workload({"bytes", "7", "3000000", "0"})).ok());
  EXPECT_EQ(exits_.Wait("other", 60), 0);
  EXPECT_TRUE(client_->FlushLog("other", 30000).ok());
  EXPECT_TRUE(Replay(ParseLog(Log("other")), "stdout") == PatternBytes(7, 3000000));
  EXPECT_EQ(exits_.Count("c"), 0);
  EXPECT_TRUE(AttachedClient::ReadAll(client.out) == PatternBytes(6, 3000000));
  EXPECT_TRUE(Logged("stdout") == PatternBytes(6, 3000000));
}

TEST_F(AttachTest, AClientThatGoesLeavesNothing) {
  StartWaiting("exec " + Workload({})[0] + " bytes 8 3000000 0");
  const size_t before = CountFds(client_->keeper_pid());
  for (int i = 0; i < 1000; ++i) Attach("c");  // at most 256 at once, or this would fail
  for (int i = 0; CountFds(client_->keeper_pid()) > before && i < 3000; ++i) usleep(10000);
  EXPECT_LE(CountFds(client_->keeper_pid()), before);
  {
    const AttachedClient gone = Attach("c");
    Go();
  }
  EXPECT_TRUE(Logged("stdout") == PatternBytes(8, 3000000));
}

TEST_F(AttachTest, ManyAtOnceAreBounded) {
  StartWaiting("exit 0");
  std::vector<AttachedClient> clients;
  for (int i = 0; i < 128; ++i) clients.push_back(Attach("c"));
  UniqueFd read_end, write_end;
  Pipe(&read_end, &write_end);
  const Status more = client_->Attach("c", write_end.get(), -1, write_end.get(), kPatienceMs);
  EXPECT_TRUE(absl::IsResourceExhausted(more)) << more;
  clients.clear();
  Go();
  EXPECT_EQ(Logged("stdout"), "");
}

TEST_F(AttachTest, AfterTheEndAndOfNobody) {
  ASSERT_TRUE(Start("c", {"/bin/echo", "x"}).ok());
  EXPECT_EQ(Logged("stdout"), "x\n");
  const AttachedClient client = Attach("c");
  EXPECT_EQ(AttachedClient::ReadAll(client.out), "");
  EXPECT_TRUE(client.WaitEnd());
  EXPECT_TRUE(absl::IsNotFound(client_->Attach("no", client.out.get(), -1, client.out.get(), 0)));
  EXPECT_TRUE(client_->OutputEnded("no", true, true));
}

TEST_F(AttachTest, WithoutALogToo) {
  int out[2];
  ASSERT_EQ(pipe2(out, O_CLOEXEC), 0);
  const UniqueFd out_read(out[0]);
  UniqueFd out_write(out[1]), in_read, in_write;
  Pipe(&in_read, &in_write);
  const UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  LaunchRequest request;
  request.id = "c";
  request.plan = Plan({"/bin/cat"});
  request.fds = {in_read.get(), out_write.get(), null.get()};
  request.stdout_read = out_read.get();
  request.stdin_write = in_write.get();
  ASSERT_TRUE(client_->Launch(request).ok());
  out_write.Reset();
  in_read.Reset();
  const AttachedClient client = Attach("c");
  ASSERT_EQ(write(in_write.get(), "echo", 4), 4);
  EXPECT_EQ(AttachedClient::ReadUntil(client.out, "echo"), "echo");
  in_write.Reset();
  EXPECT_EQ(exits_.Count("c"), 0) << "the keeper holds its stdin";
  EXPECT_TRUE(client_->CloseStdin("c").ok());
  EXPECT_EQ(exits_.Wait("c"), 0);
  EXPECT_TRUE(client.WaitEnd());
}

TEST_F(AttachTest, ATerminalIsOneStream) {
  const UniqueFd master(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  ASSERT_TRUE(master.valid());
  ASSERT_EQ(grantpt(master.get()) + unlockpt(master.get()), 0);
  char name[64];
  ASSERT_EQ(ptsname_r(master.get(), name, sizeof(name)), 0);
  UniqueFd slave(open(name, O_RDWR | O_NOCTTY | O_CLOEXEC));
  const UniqueFd log(open(LogPath("c").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  LaunchRequest request;
  request.id = "c";
  request.plan = Plan({"/bin/sh", "-c", "stty -echo; read x; echo got $x; stty size"});
  request.fds = {slave.get(), slave.get(), slave.get()};
  request.pty_master = master.get();
  request.log = log.get();
  ASSERT_TRUE(client_->Launch(request).ok());
  slave.Reset();
  const AttachedClient client = Attach("c");
  EXPECT_EQ(AttachedClient::ReadAll(client.err), "") << "a terminal has no stderr";
  const auto terminal = client_->Terminal("c");
  ASSERT_TRUE(terminal.ok()) << terminal.status();
  const winsize size{30, 99, 0, 0};
  ASSERT_EQ(ioctl(terminal->get(), TIOCSWINSZ, &size), 0);
  ASSERT_EQ(fcntl(terminal->get(), F_SETFL, O_RDWR | O_NONBLOCK), 0);  // as a server would
  ASSERT_EQ(write(terminal->get(), "me\n", 3), 3);
  EXPECT_THAT(AttachedClient::ReadAll(client.out), ::testing::HasSubstr("got me\r\n30 99\r\n"));
  EXPECT_TRUE(client.WaitEnd());
  EXPECT_THAT(Logged("stdout"), ::testing::HasSubstr("got me\r\n30 99\r\n"));
}

TEST_F(AttachTest, EndsWithTheKeeperAndTheNextOneGoesOn) {
  StartWaiting("echo after");
  const AttachedClient client = Attach("c");
  KillKeeper();
  EXPECT_TRUE(client.WaitEnd());
  EXPECT_EQ(AttachedClient::ReadAll(client.out), "");
  const AttachedClient again = Attach("c");
  Go();
  EXPECT_EQ(AttachedClient::ReadAll(again.out), "after\n");
  exits_.Wait("c");  // the status of a foreign child may be unknown, its log is not
  EXPECT_TRUE(client_->FlushLog("c", 30000).ok());
  EXPECT_EQ(Replay(ParseLog(Log("c")), "stdout"), "after\n");
}

}  // namespace
}  // namespace crisp::keeper
