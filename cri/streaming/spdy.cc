#include "cri/streaming/spdy.h"

#include <algorithm>

namespace crisp::streaming {
namespace {

constexpr size_t kHead = 8;
constexpr uint8_t kFin = 1;
enum Type : uint16_t {
  kSynStream = 1,
  kSynReply = 2,
  kRstStream = 3,
  kSettings = 4,
  kPing = 6,
  kGoAway = 7,
  kHeaders = 8,
  kWindowUpdate = 9,
};

uint32_t Number(absl::string_view bytes, size_t at, size_t n) {
  uint32_t number = 0;
  for (size_t i = 0; i < n; i++) number = number << 8 | static_cast<unsigned char>(bytes[at + i]);
  return number;
}

std::string Bytes(uint32_t number) {
  return {static_cast<char>(number >> 24), static_cast<char>(number >> 16),
          static_cast<char>(number >> 8), static_cast<char>(number)};
}

std::string ControlFrame(Type type, absl::string_view body) {
  return absl::StrCat(Bytes(0x80030000u | type), Bytes(static_cast<uint32_t>(body.size())), body);
}

std::string DataFrameHead(uint32_t id, size_t n, uint8_t flags) {
  return Bytes(id) + Bytes(static_cast<uint32_t>(n) | uint32_t{flags} << 24);
}

}  // namespace

StatusOr<size_t> SpdyProtocol::Consume(absl::string_view bytes, StreamSink* sink,
                                       std::string* out) {
  size_t done = 0;
  for (;;) {
    const absl::string_view rest = bytes.substr(done);
    if (in_data_) {
      const absl::string_view piece = rest.substr(0, data_left_);
      const size_t taken = piece.empty() ? 0 : sink->OnData(data_id_, piece);
      done += taken;
      data_left_ -= taken;
      if (!FinishData(sink)) return done;
      continue;
    }
    if (rest.empty()) return done;
    if (in_control_) {
      const absl::string_view piece = rest.substr(0, control_left_);
      frame_.append(piece.data(), piece.size());
      done += piece.size();
      control_left_ -= piece.size();
    } else {
      const absl::string_view piece = rest.substr(0, kHead - frame_.size());
      frame_.append(piece.data(), piece.size());
      done += piece.size();
      if (frame_.size() < kHead) return done;
      RETURN_IF_ERROR(BeginFrame(sink, out));
    }
    if (in_control_ && control_left_ == 0) {
      in_control_ = false;
      const Status status = Control(sink, out);
      frame_.clear();
      RETURN_IF_ERROR(status);
    }
  }
}

Status SpdyProtocol::BeginFrame(StreamSink*, std::string* out) {
  const size_t length = Number(frame_, 5, 3);
  if ((frame_[0] & 0x80) == 0) {
    data_id_ = Number(frame_, 0, 4);
    data_fin_ = (frame_[4] & kFin) != 0;
    data_left_ = length;
    in_data_ = true;
    frame_.clear();
    if (data_id_ == 0) return Fail("data on stream 0", out);
    // A stream that was never there; one that has ended may still have data under way.
    if (data_id_ > last_id_ || data_id_ % 2 == 0) SendReset(data_id_, kInvalidStream, out);
    return absl::OkStatus();
  }
  if (Number(frame_, 0, 2) != 0x8003) return Fail("not version 3", out);
  if (length > kMaxControlFrame) return Fail("a control frame larger than 16 KiB", out);
  in_control_ = true;
  control_left_ = length;
  return absl::OkStatus();
}

// True: the frame is done with.
bool SpdyProtocol::FinishData(StreamSink* sink) {
  if (data_left_ != 0) return false;
  in_data_ = false;
  if (data_fin_) sink->OnEnd(data_id_);
  return true;
}

Status SpdyProtocol::Control(StreamSink* sink, std::string* out) {
  const uint32_t type = Number(frame_, 2, 2);
  const auto flags = static_cast<uint8_t>(frame_[4]);
  const absl::string_view body = absl::string_view(frame_).substr(kHead);
  switch (type) {
    case kSynStream:
      return SynStream(body, flags, sink, out);
    case kSynReply:
    case kHeaders:
      if (body.size() < 4 || !inflater_.Inflate(body.substr(4)).ok())
        return Fail("a bad header block", out);
      return absl::OkStatus();
    case kRstStream:
      if (body.size() != 8) return Fail("RST_STREAM of a wrong length", out);
      return RstStream(body, sink);
    case kPing:
      if (body.size() != 4) return Fail("PING of a wrong length", out);
      return Echo(body, out);
    case kGoAway:
      if (body.size() != 8) return Fail("GOAWAY of a wrong length", out);
      client_left_ = true;
      return absl::OkStatus();
    case kSettings:
    case kWindowUpdate:
    default:
      return absl::OkStatus();
  }
}

Status SpdyProtocol::SynStream(absl::string_view body, uint8_t flags, StreamSink* sink,
                               std::string* out) {
  if (body.size() < 10) return Fail("SYN_STREAM cut short", out);
  const uint32_t id = Number(body, 0, 4) & 0x7fffffff;
  const auto headers = inflater_.Inflate(body.substr(10));
  if (!headers.ok()) return Fail(headers.status().message(), out);
  if (id % 2 == 0 || id <= last_id_) return Fail("a stream id that is even or used", out);
  last_id_ = id;
  if (client_left_ || !sink->OnOpen(id, *headers)) {
    SendReset(id, kRefused, out);
    return absl::OkStatus();
  }
  static const std::string* const kNoHeaders = new std::string(4, '\0');
  Emit(ControlFrame(kSynReply, Bytes(id) + deflater_.Deflate(*kNoHeaders)), 0, out);
  if ((flags & kFin) != 0) sink->OnEnd(id);
  return absl::OkStatus();
}

Status SpdyProtocol::RstStream(absl::string_view body, StreamSink* sink) {
  const uint32_t id = Number(body, 0, 4) & 0x7fffffff;
  if (id != 0 && id <= last_id_) sink->OnReset(id);
  return absl::OkStatus();
}

// Odd ids are the client's; an even one is the answer to ours.
Status SpdyProtocol::Echo(absl::string_view body, std::string* out) {
  if (Number(body, 0, 4) % 2 == 1) Emit(ControlFrame(kPing, body), 0, out);
  return absl::OkStatus();
}

Status SpdyProtocol::Fail(absl::string_view why, std::string* out) {
  SendGoAway(kProtocolError, out);
  return absl::InvalidArgumentError(absl::StrCat("read SPDY: ", why));
}

void SpdyProtocol::SendReset(uint32_t id, Code code, std::string* out) {
  Emit(ControlFrame(kRstStream, Bytes(id & 0x7fffffff) + Bytes(code)), 0, out);
}

void SpdyProtocol::SendGoAway(Code code, std::string* out) {
  if (std::exchange(said_bye_, true)) return;
  Emit(ControlFrame(kGoAway, Bytes(last_id_) + Bytes(code)), 0, out);
}

void SpdyProtocol::DataHead(uint32_t id, size_t n, std::string* out) {
  Emit(DataFrameHead(id, n, 0), n, out);
}

void SpdyProtocol::Data(uint32_t id, absl::string_view bytes, std::string* out) {
  DataHead(id, bytes.size(), out);
  out->append(bytes.data(), bytes.size());
}

void SpdyProtocol::End(uint32_t id, std::string* out) { Emit(DataFrameHead(id, 0, kFin), 0, out); }

void SpdyProtocol::Reset(uint32_t id, std::string* out) { SendReset(id, kCancel, out); }

void SpdyProtocol::Ping(std::string* out) { Emit(ControlFrame(kPing, Bytes(ping_ += 2)), 0, out); }

void SpdyProtocol::Bye(std::string* out) { SendGoAway(Code{}, out); }

void SpdyProtocol::Emit(absl::string_view frames, size_t, std::string* out) {
  out->append(frames.data(), frames.size());
}

}  // namespace crisp::streaming
