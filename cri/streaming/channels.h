// The WebSocket subprotocols of Kubernetes: each message begins with the number of its channel
// ("v4.channel.k8s.io", "v5...": binary; "base64...": a digit, then base64), and the tunnel, whose
// messages are SPDY's bytes.
#pragma once

#include "cri/streaming/protocol.h"
#include "cri/streaming/spdy.h"
#include "cri/streaming/websocket.h"

namespace crisp::streaming {

// Base64 in pieces: what is not yet four digits waits.
class Base64Pieces {
 public:
  void Begin() { rest_.clear(), ended_ = false; }
  // False: it is none. `plain` grows.
  bool Feed(absl::string_view digits, std::string* plain);
  bool End(std::string* plain);  // the padding may be missing

 private:
  std::string rest_;
  bool ended_ = false;  // by padding
};

class ChannelProtocol final : public Protocol, private MessageSink {
 public:
  struct Options {
    bool base64 = false;
    bool close_signal = false;  // v5: {255, channel} ends a channel
  };
  explicit ChannelProtocol(Options options) : options_(options) {}

  StatusOr<size_t> Consume(absl::string_view bytes, StreamSink* sink, std::string* out) override;
  bool blocked() const override { return !pending_.empty(); }
  bool client_left() const override { return reader_.client_left(); }

  bool raw() const override { return !options_.base64; }
  void DataHead(uint32_t id, size_t n, std::string* out) override;
  void Data(uint32_t id, absl::string_view bytes, std::string* out) override;
  void End(uint32_t, std::string*) override {}    // the protocol has no such message
  void Reset(uint32_t, std::string*) override {}  // nor such
  void Ping(std::string* out) override { out->append(WebSocketHead(Opcode::kPing, 0)); }
  void Bye(std::string* out) override;

 private:
  void OnMessageStart() override;
  size_t OnMessageBytes(absl::string_view bytes) override;
  void OnMessageEnd() override;
  bool full() const override { return !pending_.empty(); }
  bool Deliver();  // what is pending

  const Options options_;
  WebSocketReader reader_;
  StreamSink* sink_ = nullptr;  // during Consume
  int channel_ = -1;            // of the message at hand
  std::string close_channel_;   // after 255
  Base64Pieces digits_;
  std::string pending_;  // decoded, not yet taken
  bool bad_ = false, said_bye_ = false;
};

class TunnelProtocol final : public SpdyProtocol, private MessageSink {
 public:
  StatusOr<size_t> Consume(absl::string_view bytes, StreamSink* sink, std::string* out) override;
  bool client_left() const override { return reader_.client_left() || SpdyProtocol::client_left(); }
  void Bye(std::string* out) override;

 private:
  void Emit(absl::string_view frames, size_t bytes_to_follow, std::string* out) override;
  void OnMessageStart() override {}
  size_t OnMessageBytes(absl::string_view bytes) override;
  void OnMessageEnd() override {}
  bool full() const override { return false; }

  WebSocketReader reader_;
  StreamSink* sink_ = nullptr;
  std::string* out_ = nullptr;
  Status status_;
  bool said_bye_ = false;
};

}  // namespace crisp::streaming
