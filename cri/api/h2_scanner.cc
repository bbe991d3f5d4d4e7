#include "cri/api/h2_scanner.h"

#include <algorithm>
#include <cstring>

namespace crisp {
namespace {

constexpr char kPrefaceText[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr size_t kPrefaceSize = sizeof(kPrefaceText) - 1;
constexpr int64_t kWindowMillis = 1000;

// RFC 9113 section 6.
enum Type : uint8_t {
  kData = 0,
  kHeaders = 1,
  kRstStream = 3,
  kSettings = 4,
  kPing = 6,
  kWindowUpdate = 8,
  kContinuation = 9,
};
constexpr uint8_t kAck = 0x1;
constexpr uint8_t kEndStream = 0x1;
constexpr uint8_t kEndHeaders = 0x4;

}  // namespace

const char* H2AbuseName(H2Abuse abuse) {
  switch (abuse) {
    case H2Abuse::kNone:
      return "none";
    case H2Abuse::kPreface:
      return "not_http2";
    case H2Abuse::kHeaderBlock:
      return "header_block";
    case H2Abuse::kBlockOrder:
      return "block_order";
    case H2Abuse::kResets:
      return "resets";
    case H2Abuse::kControl:
      return "control_frames";
    case H2Abuse::kSettings:
      return "settings_not_heard";
    case H2Abuse::kConnections:
      return "connections";
  }
  return "unknown";
}

H2Abuse H2Scanner::Feed(const uint8_t* data, size_t size, int64_t now_millis) {
  if (now_millis - window_began_ >= kWindowMillis) NewWindow(now_millis);
  while (size > 0 && abuse_ == H2Abuse::kNone) {
    size_t taken;
    if (preface_have_ < kPrefaceSize) {
      taken = TakePreface(data, size);
    } else if (payload_left_ > 0) {
      taken = std::min<size_t>(size, payload_left_);
      payload_left_ -= static_cast<uint32_t>(taken);
    } else {
      taken = TakeHead(data, size);
    }
    data += taken;
    size -= taken;
  }
  return abuse_;
}

size_t H2Scanner::TakePreface(const uint8_t* data, size_t size) {
  const size_t taken = std::min(size, kPrefaceSize - preface_have_);
  if (memcmp(data, kPrefaceText + preface_have_, taken) != 0) abuse_ = H2Abuse::kPreface;
  preface_have_ = static_cast<uint8_t>(preface_have_ + taken);
  return taken;
}

size_t H2Scanner::TakeHead(const uint8_t* data, size_t size) {
  const size_t taken = std::min<size_t>(size, kHeadSize - head_have_);
  memcpy(head_ + head_have_, data, taken);
  head_have_ = static_cast<uint8_t>(head_have_ + taken);
  if (head_have_ < kHeadSize) return taken;
  head_have_ = 0;
  const Frame frame{
      .length = uint32_t{head_[0]} << 16 | uint32_t{head_[1]} << 8 | head_[2],
      .type = head_[3],
      .flags = head_[4],
      .stream = (uint32_t{head_[5]} << 24 | uint32_t{head_[6]} << 16 | uint32_t{head_[7]} << 8 |
                 head_[8]) &
                0x7fffffff,
  };
  payload_left_ = frame.length;
  abuse_ = Look(frame);
  return taken;
}

void H2Scanner::NewWindow(int64_t now_millis) {
  const bool follows = now_millis - window_began_ < 2 * kWindowMillis;
  newest_at_previous_ = follows ? newest_at_window_ : newest_stream_;
  newest_at_window_ = newest_stream_;
  window_began_ = now_millis;
  resets_ = control_ = 0;
}

H2Abuse H2Scanner::Look(const Frame& frame) {
  const bool continues = frame.type == kContinuation;
  if (continues != in_block_ || (continues && frame.stream != block_stream_))
    return H2Abuse::kBlockOrder;  // section 6.10
  switch (frame.type) {
    case kHeaders:
    case kContinuation:
      return Headers(frame);
    case kData:
      return frame.length == 0 && !(frame.flags & kEndStream) ? Control() : H2Abuse::kNone;
    case kRstStream:
      return Reset(frame);
    case kWindowUpdate:  // one for each few KiB that the client reads, and the server keeps nothing
      return H2Abuse::kNone;
    // grpc-go sends one for each answer in busy times (its bandwidth estimate), and gRPC reads no
    // more while 10,000 of its answers wait for the client to read.
    case kPing:
      return frame.flags & kAck ? Control() : H2Abuse::kNone;
    case kSettings:
      return Settings(frame);
    default:
      return Control();
  }
}

H2Abuse H2Scanner::Headers(const Frame& frame) {
  if (frame.type == kHeaders) block_size_ = 0;
  block_stream_ = frame.stream;
  in_block_ = !(frame.flags & kEndHeaders);
  block_size_ +=
      kHeadSize + frame.length;  // no overflow: two frames of 16 MiB end it at the latest
  if (block_size_ > bounds_.header_block) return H2Abuse::kHeaderBlock;
  if (frame.type == kContinuation) return H2Abuse::kNone;
  newest_stream_ = std::max(newest_stream_, frame.stream);
  return !settled_ && ++streams_ > bounds_.early_streams ? H2Abuse::kSettings : H2Abuse::kNone;
}

// gRPC holds a client to our number of streams from the acknowledgement on; one that came before
// our SETTINGS would let it hold the client to none for ever.
H2Abuse H2Scanner::Settings(const Frame& frame) {
  if (!(frame.flags & kAck)) return Control();
  if (!server_wrote_) return H2Abuse::kSettings;
  settled_ = true;
  return Control();
}

// Calls that time out or are cancelled later cost what they cost without the reset.
H2Abuse H2Scanner::Reset(const Frame& frame) {
  if (frame.stream <= newest_at_previous_) return Control();
  return ++resets_ > bounds_.resets ? H2Abuse::kResets : H2Abuse::kNone;
}

H2Abuse H2Scanner::Control() {
  return ++control_ > bounds_.control ? H2Abuse::kControl : H2Abuse::kNone;
}

}  // namespace crisp
