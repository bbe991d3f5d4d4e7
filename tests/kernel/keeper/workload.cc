// What the containers of the keeper's tests run.
//   repeat TEXT COUNT CODE      COUNT lines of TEXT on stdout, then exits with CODE
//   both COUNT CODE             numbered lines, odd ones on stderr
//   bytes SEED SIZE CODE        SIZE pseudo-random bytes (newlines, NULs, long lines)
//   slow TEXT COUNT USEC CODE   a line every USEC microseconds
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <string>

#include "tests/kernel/keeper/pattern.h"

namespace {

void WriteAll(int fd, const std::string& text) {
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = write(fd, text.data() + done, text.size() - done);
    if (n <= 0) _exit(99);
    done += static_cast<size_t>(n);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "repeat" && argc == 5) {
    const std::string line = std::string(argv[2]) + "\n";
    std::string block;
    const long count = atol(argv[3]);
    for (long i = 0; i < count; ++i) {
      block += line;
      if (block.size() < 3000 && i + 1 < count) continue;
      WriteAll(1, block);
      block.clear();
    }
    return atoi(argv[4]);
  }
  if (mode == "both" && argc == 4) {
    const long count = atol(argv[2]);
    for (long i = 0; i < count; ++i)
      WriteAll(i % 2 == 0 ? 1 : 2, "line " + std::to_string(i) + "\n");
    return atoi(argv[3]);
  }
  if (mode == "bytes" && argc == 5) {
    const std::string all =
        crisp::keeper::PatternBytes(static_cast<uint32_t>(atol(argv[2])), strtoul(argv[3], 0, 10));
    for (size_t at = 0; at < all.size(); at += 7001) WriteAll(1, all.substr(at, 7001));
    return atoi(argv[4]);
  }
  if (mode == "slow" && argc == 6) {
    const std::string line = std::string(argv[2]) + "\n";
    const long count = atol(argv[3]);
    for (long i = 0; i < count; ++i) {
      WriteAll(1, line);
      usleep(static_cast<useconds_t>(atol(argv[4])));
    }
    return atoi(argv[5]);
  }
  return 98;
}
