// SPDY/3.1 as exec, attach and port-forward use it: the client opens streams, nobody has windows
// (no client of this kind sends or counts WINDOW_UPDATE), so TCP alone holds a fast sender back.
#pragma once

#include "cri/streaming/protocol.h"
#include "cri/streaming/spdy_headers.h"

namespace crisp::streaming {

inline constexpr size_t kMaxControlFrame = 16 << 10;

class SpdyProtocol : public Protocol {
 public:
  StatusOr<size_t> Consume(absl::string_view bytes, StreamSink* sink, std::string* out) override;
  bool client_left() const override { return client_left_; }

  bool raw() const override { return true; }
  void DataHead(uint32_t id, size_t n, std::string* out) override;
  void Data(uint32_t id, absl::string_view bytes, std::string* out) override;
  void End(uint32_t id, std::string* out) override;
  void Reset(uint32_t id, std::string* out) override;
  void Ping(std::string* out) override;
  void Bye(std::string* out) override;

 protected:
  // Whole frames on their way to the client: a tunnel puts its own head before them.
  virtual void Emit(absl::string_view frames, size_t bytes_to_follow, std::string* out);

 private:
  enum Code : uint32_t { kProtocolError = 1, kInvalidStream = 2, kRefused = 3, kCancel = 5 };

  Status BeginFrame(StreamSink* sink, std::string* out);
  bool FinishData(StreamSink* sink);
  Status Control(StreamSink* sink, std::string* out);
  Status SynStream(absl::string_view body, uint8_t flags, StreamSink* sink, std::string* out);
  Status RstStream(absl::string_view body, StreamSink* sink);
  Status Echo(absl::string_view body, std::string* out);
  void SendReset(uint32_t id, Code code, std::string* out);
  void SendGoAway(Code code, std::string* out);
  Status Fail(absl::string_view why, std::string* out);

  HeaderInflater inflater_;
  HeaderDeflater deflater_;
  std::string frame_;        // head of any frame, then the body of a control frame
  size_t control_left_ = 0;  // of the control frame
  bool in_control_ = false, in_data_ = false;
  uint32_t data_id_ = 0;
  size_t data_left_ = 0;
  bool data_fin_ = false;
  uint32_t last_id_ = 0;  // the client's ids only rise
  uint32_t ping_ = 0;     // ours are even
  bool client_left_ = false, said_bye_ = false;
};

}  // namespace crisp::streaming
