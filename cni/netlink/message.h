// Netlink messages: a builder of batches and bounded readers of what the kernel (or a fuzzer)
// sends.
#pragma once

#include <linux/netlink.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace crisp::cni {

// One or more messages that go to the kernel in one send. Only the last is acknowledged; the kernel
// reports the errors of all.
class NlBatch {
 public:
  NlBatch() { bytes_.reserve(512); }

  void Begin(uint16_t type, uint16_t flags, const void* header, size_t header_size);
  template <typename Header>
  void Begin(uint16_t type, uint16_t flags, const Header& header) {
    Begin(type, flags, &header, sizeof(header));
  }

  void Put(uint16_t attribute, const void* data, size_t size);
  void PutBytes(uint16_t attribute, absl::string_view data) {
    Put(attribute, data.data(), data.size());
  }
  void PutString(uint16_t attribute, absl::string_view text);  // with its NUL
  void PutFlag(uint16_t attribute) { Put(attribute, nullptr, 0); }
  void PutU8(uint16_t attribute, uint8_t value) { Put(attribute, &value, sizeof(value)); }
  void PutU16(uint16_t attribute, uint16_t value) { Put(attribute, &value, sizeof(value)); }
  void PutU32(uint16_t attribute, uint32_t value) { Put(attribute, &value, sizeof(value)); }
  void PutBe32(uint16_t attribute, uint32_t value) { PutU32(attribute, __builtin_bswap32(value)); }

  // A raw structure inside the current nest (VETH_INFO_PEER carries a struct ifinfomsg).
  void PutStruct(const void* data, size_t size);

  size_t OpenNest(uint16_t attribute, bool flagged = false);
  void CloseNest(size_t start);

  // Numbers the messages from `first_sequence` on, asks for an acknowledgement of message
  // `ack_index` only, and returns the count.
  size_t Finish(uint32_t first_sequence, size_t ack_index);
  size_t count() const { return offsets_.size(); }
  const std::vector<char>& bytes() const { return bytes_; }

 private:
  void Append(const void* data, size_t size);  // padded to 4
  void SetMessageLength();

  std::vector<char> bytes_;
  std::vector<size_t> offsets_;
};

// A nested attribute for the length of a scope.
class NlNest {
 public:
  NlNest(NlBatch& batch, uint16_t attribute, bool flagged = false)
      : batch_(batch), start_(batch.OpenNest(attribute, flagged)) {}
  ~NlNest() { batch_.CloseNest(start_); }
  NlNest(const NlNest&) = delete;
  NlNest& operator=(const NlNest&) = delete;

 private:
  NlBatch& batch_;
  size_t start_;
};

struct NlMessage {
  nlmsghdr header;
  absl::string_view payload;
};

// Takes the next message off `rest`; false at the end or at the first malformed one.
bool NextMessage(absl::string_view* rest, NlMessage* message);

struct NlAttribute {
  uint16_t type;  // without the NLA_F_ bits
  absl::string_view value;
};

bool NextAttribute(absl::string_view* rest, NlAttribute* attribute);

// Fixed-size reads of an attribute value: zero when it is too short.
uint32_t ReadU32(absl::string_view value);
uint32_t ReadBe32(absl::string_view value);
std::string ReadString(absl::string_view value);  // up to the first NUL

struct NlError {
  int error = 0;  // positive errno, 0 = acknowledged
  uint32_t sequence = 0;
  std::string text;  // the kernel's extended message
};
bool ParseError(const NlMessage& message, NlError* error);

}  // namespace crisp::cni
