#include "cri/streaming/channels.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"

namespace crisp::streaming {
namespace {

constexpr int kCloseSignal = 255;
constexpr uint16_t kNormal = 1000, kBadPayload = 1007;

bool IsDigit(char c) { return absl::ascii_isalnum(c) || c == '+' || c == '/' || c == '='; }

bool Decode(absl::string_view digits, std::string* plain) {
  std::string piece;
  if (!absl::Base64Unescape(digits, &piece)) return false;
  plain->append(piece);
  return true;
}

}  // namespace

bool Base64Pieces::Feed(absl::string_view digits, std::string* plain) {
  if (!std::all_of(digits.begin(), digits.end(), IsDigit)) return false;  // nor white space
  if (ended_ && !digits.empty()) return false;
  absl::StrAppend(&rest_, digits);
  const size_t whole = rest_.size() / 4 * 4;
  if (whole == 0) return true;
  ended_ = rest_[whole - 1] == '=';
  const bool good =
      Decode(absl::string_view(rest_).substr(0, whole), plain) && !(ended_ && rest_.size() > whole);
  rest_.erase(0, whole);
  return good;
}

bool Base64Pieces::End(std::string* plain) {
  return rest_.empty() || (rest_.size() > 1 && Decode(rest_, plain));
}

StatusOr<size_t> ChannelProtocol::Consume(absl::string_view bytes, StreamSink* sink,
                                          std::string* out) {
  sink_ = sink;
  if (!Deliver()) return 0;
  size_t done = 0;
  for (;;) {
    ASSIGN_OR_RETURN(const size_t n, reader_.Consume(bytes.substr(done), this, out));
    done += n;
    if (bad_) {
      out->append(WebSocketClose(kBadPayload));
      return absl::InvalidArgumentError("read WebSocket: not base64");
    }
    // A reader that stopped because a decoded message waits goes on once that is delivered.
    if (pending_.empty() || !Deliver()) return done;
  }
}

void ChannelProtocol::OnMessageStart() {
  channel_ = -1;
  close_channel_.clear();
  digits_.Begin();
}

size_t ChannelProtocol::OnMessageBytes(absl::string_view bytes) {
  if (options_.base64) {
    if (bad_) return bytes.size();  // a message before this one
    if (!Deliver()) return 0;
    size_t digits = 0;
    if (channel_ < 0 && !bytes.empty()) {
      channel_ = bytes[digits++] - '0';
      bad_ = channel_ < 0 || channel_ > 9;
    }
    bad_ = bad_ || !digits_.Feed(bytes.substr(digits), &pending_);
    return bytes.size();
  }
  size_t done = 0;
  if (channel_ < 0 && !bytes.empty()) channel_ = static_cast<unsigned char>(bytes[done++]);
  const absl::string_view data = bytes.substr(done);
  if (channel_ == kCloseSignal && options_.close_signal) {
    if (close_channel_.size() < 2)
      close_channel_.append(data.substr(0, 2).data(), std::min<size_t>(2, data.size()));
    return bytes.size();
  }
  if (data.empty()) return done;
  return done + sink_->OnData(static_cast<uint32_t>(channel_), data);
}

void ChannelProtocol::OnMessageEnd() {
  if (close_channel_.size() == 1) sink_->OnEnd(static_cast<unsigned char>(close_channel_[0]));
  if (options_.base64) bad_ = bad_ || !digits_.End(&pending_);
}

bool ChannelProtocol::Deliver() {
  if (pending_.empty()) return true;
  pending_.erase(0, sink_->OnData(static_cast<uint32_t>(channel_), pending_));
  return pending_.empty();
}

void ChannelProtocol::DataHead(uint32_t id, size_t n, std::string* out) {
  out->append(WebSocketHead(Opcode::kBinary, n + 1));
  out->push_back(static_cast<char>(id));
}

void ChannelProtocol::Data(uint32_t id, absl::string_view bytes, std::string* out) {
  if (!options_.base64) {
    DataHead(id, bytes.size(), out);
    out->append(bytes.data(), bytes.size());
    return;
  }
  const std::string text = absl::StrCat(id, absl::Base64Escape(bytes));
  absl::StrAppend(out, WebSocketHead(Opcode::kText, text.size()), text);
}

void ChannelProtocol::Bye(std::string* out) {
  if (!std::exchange(said_bye_, true)) out->append(WebSocketClose(kNormal));
}

StatusOr<size_t> TunnelProtocol::Consume(absl::string_view bytes, StreamSink* sink,
                                         std::string* out) {
  sink_ = sink;
  out_ = out;
  ASSIGN_OR_RETURN(const size_t done, reader_.Consume(bytes, this, out));
  if (!status_.ok()) {
    Bye(out);
    return status_;
  }
  return done;
}

size_t TunnelProtocol::OnMessageBytes(absl::string_view bytes) {
  if (!status_.ok()) return bytes.size();
  const auto done = SpdyProtocol::Consume(bytes, sink_, out_);
  if (!done.ok()) status_ = done.status();
  return done.ok() ? *done : bytes.size();
}

void TunnelProtocol::Emit(absl::string_view frames, size_t bytes_to_follow, std::string* out) {
  absl::StrAppend(out, WebSocketHead(Opcode::kBinary, frames.size() + bytes_to_follow), frames);
}

void TunnelProtocol::Bye(std::string* out) {
  if (std::exchange(said_bye_, true)) return;
  SpdyProtocol::Bye(out);
  out->append(WebSocketClose(kNormal));
}

}  // namespace crisp::streaming
