#include "runtime/container/output_collector.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>

#include "runtime/base/stages.h"

namespace crisp::runtime {
namespace {

constexpr int64_t kNanosPerMilli = 1000000;

int PollTimeout(int64_t deadline_nanos) {
  if (deadline_nanos == 0) return -1;
  const int64_t left = deadline_nanos - MonotonicNanos();
  if (left <= 0) return 0;
  return static_cast<int>(std::min<int64_t>(left / kNanosPerMilli + 1, 1 << 30));
}

}  // namespace

OutputCollector::OutputCollector(UniqueFd out, UniqueFd err, int pidfd, size_t cap)
    : pidfd_(pidfd), cap_(cap) {
  streams_[0].fd = std::move(out);
  streams_[1].fd = std::move(err);
  for (Stream& stream : streams_) fcntl(stream.fd.get(), F_SETFL, O_NONBLOCK);
}

// What is beyond the cap is read and dropped: a full pipe would stop the program.
void OutputCollector::Read(Stream* stream) {
  char buffer[65536];
  while (true) {
    const ssize_t got = read(stream->fd.get(), buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return stream->fd.Reset();
    const size_t room = cap_ - std::min(cap_, stream->text.size());
    stream->text.append(buffer, std::min(room, static_cast<size_t>(got)));
    if (got < static_cast<ssize_t>(sizeof(buffer))) return;
  }
}

StatusOr<bool> OutputCollector::Step(int64_t deadline_nanos, bool* exited) {
  pollfd polls[3] = {{streams_[0].fd.get(), POLLIN, 0},
                     {streams_[1].fd.get(), POLLIN, 0},
                     {*exited ? -1 : pidfd_, POLLIN, 0}};
  const int ready = poll(polls, 3, PollTimeout(deadline_nanos));
  if (ready < 0 && errno != EINTR) return ErrnoStatus(errno, "wait for output");
  if (ready == 0) return false;
  for (int i : {0, 1}) {
    if (ready > 0 && polls[i].revents != 0) Read(&streams_[i]);
  }
  if (ready > 0 && polls[2].revents != 0) *exited = true;
  // Endless output must not outrun the deadline.
  return deadline_nanos == 0 || MonotonicNanos() < deadline_nanos;
}

Status OutputCollector::UntilExit(int64_t deadline_nanos) {
  bool exited = false;
  while (!exited) {
    ASSIGN_OR_RETURN(const bool in_time, Step(deadline_nanos, &exited));
    if (!in_time && !exited) return absl::DeadlineExceededError("still running");
  }
  return absl::OkStatus();
}

void OutputCollector::Drain(int64_t deadline_nanos) {
  bool exited = true;
  while (streams_[0].fd.valid() || streams_[1].fd.valid()) {
    const auto in_time = Step(deadline_nanos, &exited);
    if (!in_time.ok() || !*in_time) return;
  }
}

}  // namespace crisp::runtime
