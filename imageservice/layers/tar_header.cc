#include "imageservice/layers/tar_header.h"

#include <algorithm>

namespace crisp::image {
namespace {

std::string_view Field(const char* block, size_t offset, size_t size) {
  return std::string_view(block + offset, size);
}

std::string Text(std::string_view field) {
  return std::string(field.substr(0, std::min(field.find('\0'), field.size())));
}

// Two's complement, big-endian; the top bit of the first byte only marks the form.
bool ParseBase256(std::string_view field, int64_t* value) {
  const bool negative = (field[0] & 0x40) != 0;
  const unsigned char fill = negative ? 0xff : 0x00;
  uint64_t number = negative ? ~uint64_t{0} : 0;
  for (size_t i = 0; i < field.size(); ++i) {
    unsigned char byte = static_cast<unsigned char>(field[i]);
    if (i == 0) byte = static_cast<unsigned char>(negative ? byte | 0x80 : byte & 0x7f);
    if (i + 8 < field.size() && byte != fill) return false;
    number = number << 8 | byte;
  }
  *value = static_cast<int64_t>(number);
  return (*value < 0) == negative;
}

// Some old writers summed signed chars: both sums are accepted.
bool ChecksumMatches(const char* block, int64_t expected) {
  int64_t as_unsigned = 0, as_signed = 0;
  for (size_t i = 0; i < kTarBlock; ++i) {
    const bool in_checksum = i >= 148 && i < 156;
    as_unsigned += in_checksum ? ' ' : static_cast<unsigned char>(block[i]);
    as_signed += in_checksum ? ' ' : static_cast<signed char>(block[i]);
  }
  return expected == as_unsigned || expected == as_signed;
}

}  // namespace

bool IsZeroBlock(const char* block) {
  return std::all_of(block, block + kTarBlock, [](char c) { return c == 0; });
}

bool ParseTarNumber(std::string_view field, int64_t* value) {
  *value = 0;
  if (!field.empty() && (field[0] & 0x80) != 0) return ParseBase256(field, value);
  while (!field.empty() && field.front() == ' ') field.remove_prefix(1);
  uint64_t number = 0;
  size_t digits = 0;
  for (; digits < field.size() && field[digits] >= '0' && field[digits] <= '7'; ++digits) {
    if (number >> 60 != 0) return false;
    number = number << 3 | static_cast<uint64_t>(field[digits] - '0');
  }
  for (const char c : field.substr(digits)) {
    if (c == '\0') break;
    if (c != ' ') return false;
  }
  *value = static_cast<int64_t>(number);
  return true;
}

Outcome ParseTarHeader(const char* block, TarHeader* header) {
  int64_t checksum = 0;
  if (!ParseTarNumber(Field(block, 148, 8), &checksum) || !ChecksumMatches(block, checksum)) {
    return Outcome::BadLayer("bad tar header checksum");
  }
  header->name = Text(Field(block, 0, 100));
  header->link = Text(Field(block, 157, 100));
  header->type = block[156] == '\0' ? '0' : block[156];
  const bool numbers = ParseTarNumber(Field(block, 100, 8), &header->mode) &&
                       ParseTarNumber(Field(block, 108, 8), &header->uid) &&
                       ParseTarNumber(Field(block, 116, 8), &header->gid) &&
                       ParseTarNumber(Field(block, 124, 12), &header->size) &&
                       ParseTarNumber(Field(block, 136, 12), &header->mtime);
  if (!numbers) return Outcome::BadLayer("bad number in the tar header of " + header->name);
  // GNU's own magic ("ustar  ") uses the prefix field for something else.
  if (Field(block, 257, 6) == std::string_view("ustar\0", 6)) {
    const std::string prefix = Text(Field(block, 345, 155));
    if (!prefix.empty()) header->name = prefix + "/" + header->name;
  }
  return {};
}

}  // namespace crisp::image
