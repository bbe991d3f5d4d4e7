// A backend whose processes are played by the test itself, over real pipes and sockets.
#pragma once

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>

#include "cri/streaming/session.h"

namespace crisp::streaming {

// The process's side of a session. Alive until the test drops it.
struct Process {
  UniqueFd in, out, err;  // to read from, to write to
  UniqueFd ended;
  std::atomic<int> code = 0, resizes = 0;
  std::atomic<uint16_t> width = 0;
  std::atomic<bool> stdin_ended = false, session_gone = false;

  void Exit(int exit_code) {
    code = exit_code;
    in.Reset();
    out.Reset();
    err.Reset();
    eventfd_write(ended.get(), 1);
  }
};

class FakeSession final : public StreamSession {
 public:
  explicit FakeSession(std::shared_ptr<Process> process) : process_(std::move(process)) {}
  ~FakeSession() override { process_->session_gone = true; }
  int ended_fd() const override { return process_->ended.get(); }
  StatusOr<int> Result() override { return process_->code.load(); }
  void Resize(uint16_t width, uint16_t) override {
    process_->resizes++;
    process_->width = width;
  }
  void StdinEnded() override { process_->stdin_ended = true; }

 private:
  const std::shared_ptr<Process> process_;
};

class FakeBackend final : public StreamBackend {
 public:
  StatusOr<std::unique_ptr<StreamSession>> Exec(const StreamRequest& request) override {
    if (request.command == std::vector<std::string>{"fail"})
      return absl::NotFoundError("no such program");
    auto process = std::make_shared<Process>();
    auto session = std::make_unique<FakeSession>(process);
    process->ended.Reset(eventfd(0, EFD_CLOEXEC));
    if (request.in) Pipe(&process->in, &session->in);
    if (request.out) Pipe(&session->out, &process->out);
    if (request.err) Pipe(&session->err, &process->err);
    const std::lock_guard lock(mutex_);
    started_.push_back(process);
    changed_.notify_all();
    return session;
  }
  StatusOr<std::unique_ptr<StreamSession>> Attach(const StreamRequest& request) override {
    return Exec(request);
  }
  StatusOr<UniqueFd> Socket(const std::string& sandbox, int family) override {
    if (sandbox == "gone") return absl::NotFoundError("sandbox gone");
    if (no_ipv6 && family == AF_INET6) return ErrnoStatus(EAFNOSUPPORT, "make socket");
    return UniqueFd(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  }

  std::atomic<bool> no_ipv6 = false;

  // The next one that was started; null if none comes for 10 s.
  std::shared_ptr<Process> Next() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(10), [&] { return !started_.empty(); });
    if (started_.empty()) return nullptr;
    auto process = started_.front();
    started_.pop_front();
    return process;
  }

 private:
  static void Pipe(UniqueFd* read_end, UniqueFd* write_end) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) abort();
    read_end->Reset(ends[0]);
    write_end->Reset(ends[1]);
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Process>> started_;
};

}  // namespace crisp::streaming
