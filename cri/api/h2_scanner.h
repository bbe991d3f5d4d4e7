// What a client of the CRI socket sends, as frames of HTTP/2 (RFC 9113 section 4.1), watched for
// what costs a server much and a client little. Debian's gRPC 1.51 has no bounds of its own here
// (S55 in docs/design/security.md). No heap, no HPACK: frame heads are looked at, payloads are
// skipped.
#pragma once

#include <cstddef>
#include <cstdint>

namespace crisp {

enum class H2Abuse : uint8_t {
  kNone,
  kPreface,      // no HTTP/2 at all
  kHeaderBlock,  // one header block of too many bytes: CONTINUATION flood, CVE-2023-33953
  kBlockOrder,   // a frame that may not stand there: CONTINUATION alone, another frame in a block
  kResets,       // streams opened and reset at once: CVE-2023-44487
  kControl,      // SETTINGS, PRIORITY, empty DATA and others in numbers that no client needs
                 // -9515
  kSettings,     // our SETTINGS (the number of streams) acknowledged too early, or not: gRPC then
                 // holds to no number
  kConnections,  // too many connections at once (found by the guard, not by the scanner)
};
const char* H2AbuseName(H2Abuse abuse);

// Bounds, with what clients do beside them: docs/design/security.md.
struct H2Bounds {
  uint32_t header_block = 64 << 10;  // bytes, frame heads included, so that empty frames count too
  uint32_t early_streams = 100;      // before our SETTINGS are acknowledged
  uint32_t resets = 100;             // a second, of streams that are younger than two seconds
  uint32_t control = 2000;           // a second
};

class H2Scanner {
 public:
  explicit H2Scanner(const H2Bounds& bounds = {}) : bounds_(bounds) {}

  // The client's next bytes, in pieces of any size. The answer stays once it is not kNone.
  H2Abuse Feed(const uint8_t* data, size_t size, int64_t now_millis);

  // The server has begun to write, so its SETTINGS are on their way.
  void ServerWrote() { server_wrote_ = true; }

 private:
  struct Frame {
    uint32_t length;
    uint8_t type;
    uint8_t flags;
    uint32_t stream;
  };
  static constexpr uint32_t kHeadSize = 9;

  size_t TakePreface(const uint8_t* data, size_t size);
  size_t TakeHead(const uint8_t* data, size_t size);
  void NewWindow(int64_t now_millis);
  H2Abuse Look(const Frame& frame);
  H2Abuse Headers(const Frame& frame);
  H2Abuse Settings(const Frame& frame);
  H2Abuse Reset(const Frame& frame);
  H2Abuse Control();

  H2Bounds bounds_;
  H2Abuse abuse_ = H2Abuse::kNone;
  uint8_t preface_have_ = 0;
  uint8_t head_have_ = 0;
  uint8_t head_[kHeadSize];
  bool in_block_ = false;
  bool server_wrote_ = false;
  bool settled_ = false;  // our SETTINGS are acknowledged
  uint32_t payload_left_ = 0;
  uint32_t block_size_ = 0;
  uint32_t block_stream_ = 0;
  uint32_t newest_stream_ = 0;
  uint32_t newest_at_window_ = 0;    // newest_stream_ when this window of a second began
  uint32_t newest_at_previous_ = 0;  // and when the one before it began
  uint32_t streams_ = 0;             // before that
  uint32_t resets_ = 0;
  uint32_t control_ = 0;
  int64_t window_began_ = 0;
};

}  // namespace crisp
