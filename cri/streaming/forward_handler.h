// Port-forward: many connections of the client to ports of one pod. One that breaks takes none of
// the others with it.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "cri/streaming/handler.h"
#include "cri/streaming/session.h"

namespace crisp::streaming {

inline constexpr size_t kMaxForwards = 1024;  // at once, on one connection

class ForwardHandler final : public Handler {
 public:
  ForwardHandler(StreamRequest request, StreamBackend* backend, HandlerParts parts, bool by_channel)
      : request_(std::move(request)), backend_(backend), parts_(parts), by_channel_(by_channel) {}

  bool OnOpen(uint32_t id, const HeaderList& headers) override;
  size_t OnData(uint32_t id, absl::string_view bytes) override;
  void OnEnd(uint32_t id) override;
  void OnReset(uint32_t id) override;

  void Start() override;
  void Watch(std::vector<pollfd>* fds) override;
  void Ready(const pollfd* fds) override;
  void AfterInput() override;  // dials, when both streams have had their SYN_REPLY
  int64_t deadline() const override;
  bool done() const override;

 private:
  // A stream for the bytes and one for an error's text; one of the two may still be missing.
  struct Pair {
    uint16_t port = 0;
    int64_t data_id = -1, error_id = -1;
    UniqueFd fd;
    int family = 0, first_error = 0;
    bool to_dial = false, connecting = false;
    bool client_ended = false;  // wants to send nothing more
    bool target_ended = false;
    bool full = false;     // the target takes nothing now
    bool bulk = false;     // it sends so much that it pays to wait for more, and to move pages
    size_t recent = 0;     // bytes since `since`
    int64_t since = 0;     // bulk: when it was last read
    bool over = false;     // to be dropped
    std::string early;     // before the connection stands
    int64_t deadline = 0;  // of the second stream, then of the connection
    std::string request_id;
  };

  Pair* PairOf(uint32_t id);
  Pair* Joining(const std::string& request_id, uint16_t port, bool error);
  void Dial(Pair* pair, int family);
  void Refused(Pair* pair, int error);
  void Connected(Pair* pair);
  void OnWritable(Pair* pair);
  size_t Write(Pair* pair, absl::string_view bytes);
  void EndTarget(Pair* pair);
  void Pump(Pair* pair);
  void Copy(Pair* pair);
  bool Move(Pair* pair);
  void TargetSaid(Pair* pair, int error);
  void Judge(Pair* pair, ssize_t n);
  void SetBulk(Pair* pair, bool bulk);
  void CloseIfOver(Pair* pair);
  void Fail(Pair* pair, absl::string_view why);
  void Break(Pair* pair);
  void Drop();

  const StreamRequest request_;
  StreamBackend* const backend_;
  const HandlerParts parts_;
  const bool by_channel_;
  std::map<uint64_t, std::unique_ptr<Pair>> pairs_;  // in the order in which they came
  std::map<uint32_t, Pair*> by_stream_;
  std::vector<Pair*> watched_;
  uint64_t next_ = 0;
  bool to_dial_ = false;
  size_t early_bytes_ = 0;  // of all pairs
  size_t turn_ = 0;         // who is read first: nobody starves the others
  // Empty but for the one stretch on its way to the client, whatever becomes of the pair it came
  // from.
  UniqueFd pipe_out_, pipe_in_;
  bool no_splice_ = false;
};

}  // namespace crisp::streaming
