#include "imageservice/layers/tar_pax.h"

#include <algorithm>
#include <charconv>

namespace crisp::image {
namespace {

constexpr std::string_view kXattrPrefix = "SCHILY.xattr.";

Outcome BadValue(std::string_view key) {
  return Outcome::BadLayer("bad value of PAX record " + std::string(key.substr(0, 64)));
}

// "1700000000.123456789", also negative.
bool ParseTime(std::string_view text, int64_t* seconds, int64_t* nanos) {
  const size_t dot = text.find('.');
  const std::string_view whole = text.substr(0, dot);
  const auto [end, error] = std::from_chars(whole.data(), whole.data() + whole.size(), *seconds);
  if (error != std::errc() || end != whole.data() + whole.size()) return false;
  *nanos = 0;
  if (dot == std::string_view::npos) return true;
  int64_t unit = 100000000;
  for (const char c : text.substr(dot + 1)) {
    if (c < '0' || c > '9') return false;
    *nanos += unit * (c - '0');
    unit /= 10;
  }
  if (whole.substr(0, 1) == "-" && *nanos > 0) {  // -1.25 is 0.75 after -2
    *seconds -= 1;
    *nanos = 1000000000 - *nanos;
  }
  return true;
}

Outcome AddXattr(std::string_view name, std::string_view value, PaxRecords* records) {
  size_t total = name.size() + value.size();
  for (const auto& [other, bytes] : records->xattrs) total += other.size() + bytes.size();
  if (name.empty() || name.size() > 255 || value.size() > kMaxXattrValue ||
      total > kMaxXattrTotal || records->xattrs.size() >= kMaxXattrs) {
    return Outcome::BadLayer("extended attributes beyond the limits");
  }
  records->xattrs.emplace_back(name, value);
  return {};
}

// "offset,size,offset,size"
bool ParseMap(std::string_view text, std::vector<SparseRange>* map) {
  std::vector<uint64_t> numbers;
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    int64_t number = 0;
    if (!ParseDecimal(text.substr(0, comma), &number)) return false;
    numbers.push_back(static_cast<uint64_t>(number));
    if (numbers.size() > 2 * kMaxSparseRanges) return false;
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  if (numbers.size() % 2 != 0) return false;
  map->clear();
  for (size_t i = 0; i < numbers.size(); i += 2) map->push_back({numbers[i], numbers[i + 1]});
  return true;
}

Outcome AddSparse(std::string_view key, std::string_view value, PaxRecords* records) {
  int64_t number = 0;
  records->sparse = true;
  if (key == "name") {
    records->sparse_name = std::string(value);
    return {};
  }
  if (key == "map") {
    return ParseMap(value, &records->sparse_map) ? Outcome() : BadValue("GNU.sparse.map");
  }
  if (!ParseDecimal(value, &number)) return BadValue(key);
  if (key == "major" && number == 1) records->sparse_map_in_data = true;
  if (key == "size" || key == "realsize") records->sparse_real_size = number;
  if (key == "offset") records->sparse_map.push_back({static_cast<uint64_t>(number), 0});
  if (key == "numbytes") {
    if (records->sparse_map.empty()) return BadValue(key);
    records->sparse_map.back().size = static_cast<uint64_t>(number);
  }
  if (records->sparse_map.size() > kMaxSparseRanges) return BadValue(key);
  return {};
}

Outcome AddNumber(std::string_view key, std::string_view value, std::optional<int64_t>* out) {
  int64_t number = 0;
  if (!ParseDecimal(value, &number)) return BadValue(key);
  *out = number;
  return {};
}

Outcome AddRecord(std::string_view key, std::string_view value, PaxRecords* records) {
  if (key == "path") {
    records->path = std::string(value);
  } else if (key == "linkpath") {
    records->link = std::string(value);
  } else if (key == "size") {
    return AddNumber(key, value, &records->size);
  } else if (key == "uid") {
    return AddNumber(key, value, &records->uid);
  } else if (key == "gid") {
    return AddNumber(key, value, &records->gid);
  } else if (key == "mtime") {
    int64_t seconds = 0;
    if (!ParseTime(value, &seconds, &records->mtime_nanos)) return BadValue(key);
    records->mtime = seconds;
  } else if (key.substr(0, kXattrPrefix.size()) == kXattrPrefix) {
    return AddXattr(key.substr(kXattrPrefix.size()), value, records);
  } else if (key.substr(0, 11) == "GNU.sparse.") {
    return AddSparse(key.substr(11), value, records);
  }
  return {};
}

}  // namespace

bool ParseDecimal(std::string_view text, int64_t* value) {
  if (text.empty() || text[0] < '0' || text[0] > '9') return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && end == text.data() + text.size();
}

Outcome ParsePax(std::string_view text, PaxRecords* records) {
  while (!text.empty()) {
    const size_t blank = text.find(' ');
    int64_t length = 0;
    if (blank == std::string_view::npos || !ParseDecimal(text.substr(0, blank), &length) ||
        length <= static_cast<int64_t>(blank) + 1 || length > static_cast<int64_t>(text.size()) ||
        text[static_cast<size_t>(length) - 1] != '\n') {
      return Outcome::BadLayer("bad PAX record length");
    }
    const size_t size = static_cast<size_t>(length);
    const std::string_view record = text.substr(blank + 1, size - blank - 2);
    const size_t equals = record.find('=');
    if (equals == std::string_view::npos) return Outcome::BadLayer("PAX record without '='");
    OUTCOME_TRY(AddRecord(record.substr(0, equals), record.substr(equals + 1), records));
    text.remove_prefix(size);
  }
  return {};
}

}  // namespace crisp::image
