#include "cni/netlink/message.h"

#include <algorithm>
#include <cstring>

namespace crisp::cni {
namespace {

constexpr size_t Aligned(size_t size) { return (size + 3) & ~size_t{3}; }

template <typename T>
T ReadAs(absl::string_view bytes) {
  T value{};
  if (bytes.size() >= sizeof(T)) memcpy(&value, bytes.data(), sizeof(T));
  return value;
}

}  // namespace

void NlBatch::Append(const void* data, size_t size) {
  const char* from = static_cast<const char*>(data);
  if (size > 0) bytes_.insert(bytes_.end(), from, from + size);
  bytes_.resize(Aligned(bytes_.size()));
}

void NlBatch::SetMessageLength() {
  const uint32_t length = static_cast<uint32_t>(bytes_.size() - offsets_.back());
  memcpy(bytes_.data() + offsets_.back() + offsetof(nlmsghdr, nlmsg_len), &length, sizeof(length));
}

void NlBatch::Begin(uint16_t type, uint16_t flags, const void* header, size_t header_size) {
  offsets_.push_back(bytes_.size());
  nlmsghdr head{};
  head.nlmsg_type = type;
  head.nlmsg_flags = static_cast<uint16_t>(flags | NLM_F_REQUEST);
  Append(&head, sizeof(head));
  Append(header, header_size);
  SetMessageLength();
}

void NlBatch::Put(uint16_t attribute, const void* data, size_t size) {
  nlattr head{};
  head.nla_type = attribute;
  head.nla_len = static_cast<uint16_t>(NLA_HDRLEN + size);
  Append(&head, sizeof(head));
  Append(data, size);
  SetMessageLength();
}

void NlBatch::PutString(uint16_t attribute, absl::string_view text) {
  const std::string copy(text);
  Put(attribute, copy.c_str(), copy.size() + 1);
}

void NlBatch::PutStruct(const void* data, size_t size) {
  Append(data, size);
  SetMessageLength();
}

size_t NlBatch::OpenNest(uint16_t attribute, bool flagged) {
  const size_t start = bytes_.size();
  nlattr head{};
  head.nla_type = static_cast<uint16_t>(attribute | (flagged ? NLA_F_NESTED : 0));
  Append(&head, sizeof(head));
  return start;
}

void NlBatch::CloseNest(size_t start) {
  const uint16_t length = static_cast<uint16_t>(bytes_.size() - start);
  memcpy(bytes_.data() + start + offsetof(nlattr, nla_len), &length, sizeof(length));
  SetMessageLength();
}

size_t NlBatch::Finish(uint32_t first_sequence, size_t ack_index) {
  for (size_t i = 0; i < offsets_.size(); ++i) {
    nlmsghdr head;
    memcpy(&head, bytes_.data() + offsets_[i], sizeof(head));
    head.nlmsg_seq = first_sequence + static_cast<uint32_t>(i);
    if (i == ack_index) head.nlmsg_flags |= NLM_F_ACK;
    memcpy(bytes_.data() + offsets_[i], &head, sizeof(head));
  }
  return offsets_.size();
}

bool NextMessage(absl::string_view* rest, NlMessage* message) {
  if (rest->size() < sizeof(nlmsghdr)) return false;
  message->header = ReadAs<nlmsghdr>(*rest);
  const size_t length = message->header.nlmsg_len;
  if (length < sizeof(nlmsghdr) || length > rest->size()) return false;
  message->payload = rest->substr(sizeof(nlmsghdr), length - sizeof(nlmsghdr));
  rest->remove_prefix(std::min(Aligned(length), rest->size()));
  return true;
}

bool NextAttribute(absl::string_view* rest, NlAttribute* attribute) {
  if (rest->size() < sizeof(nlattr)) return false;
  const nlattr head = ReadAs<nlattr>(*rest);
  if (head.nla_len < sizeof(nlattr) || head.nla_len > rest->size()) return false;
  attribute->type = head.nla_type & NLA_TYPE_MASK;
  attribute->value = rest->substr(sizeof(nlattr), head.nla_len - sizeof(nlattr));
  rest->remove_prefix(std::min(Aligned(head.nla_len), rest->size()));
  return true;
}

uint32_t ReadU32(absl::string_view value) { return ReadAs<uint32_t>(value); }
uint32_t ReadBe32(absl::string_view value) { return __builtin_bswap32(ReadU32(value)); }
std::string ReadString(absl::string_view value) {
  return std::string(value.substr(0, value.find('\0')));
}

bool ParseError(const NlMessage& message, NlError* error) {
  if (message.header.nlmsg_type != NLMSG_ERROR || message.payload.size() < sizeof(nlmsgerr))
    return false;
  const nlmsgerr body = ReadAs<nlmsgerr>(message.payload);
  // A hostile or broken value must not become a positive "error".
  error->error = body.error < 0 && body.error > -4096 ? -body.error : 0;
  error->sequence = message.header.nlmsg_seq;
  error->text.clear();
  if ((message.header.nlmsg_flags & NLM_F_ACK_TLVS) == 0) return true;
  size_t skip = sizeof(nlmsgerr);
  if ((message.header.nlmsg_flags & NLM_F_CAPPED) == 0 && body.msg.nlmsg_len > sizeof(nlmsghdr))
    skip += Aligned(body.msg.nlmsg_len) - sizeof(nlmsghdr);
  if (skip > message.payload.size()) return true;
  absl::string_view rest = message.payload.substr(skip);
  for (NlAttribute attribute; NextAttribute(&rest, &attribute);) {
    if (attribute.type == NLMSGERR_ATTR_MSG) error->text = ReadString(attribute.value);
  }
  return true;
}

}  // namespace crisp::cni
