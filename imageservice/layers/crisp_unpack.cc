// crisp-unpack: the one-shot process that unpacks one layer. Started by the daemon for each layer:
//   crisp-unpack COMPRESSION DIGEST SIZE DIFF_ID RESERVE
//   fd 0: the compressed layer   fd 1: the result record   fd 3: the layer's directory (O_PATH)
// While it works it writes newlines (heartbeats). The result is one line: "ok ENTRIES BYTES INODES
// OPAQUE_ROOT", "bad TEXT" (the layer's fault) or "sys ERRNO TEXT" (the machine's).
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>

#include "imageservice/content/digest.h"
#include "imageservice/layers/confine.h"
#include "imageservice/layers/outcome.h"
#include "imageservice/layers/tar_pax.h"
#include "imageservice/layers/unpack_pipeline.h"

namespace crisp::image {
namespace {

constexpr int kInput = 0, kResult = 1, kLayer = 3;

bool ParseArguments(int argc, char** argv, UnpackRequest* request) {
  int64_t size = 0, reserve = 0;
  if (argc != 6 || !ParseDecimal(argv[3], &size) || !ParseDecimal(argv[5], &reserve)) return false;
  request->compression = argv[1];
  request->digest = argv[2];
  request->size = static_cast<uint64_t>(size);
  request->diff_id = argv[4];
  request->reserve = static_cast<uint64_t>(reserve);
  return IsDigest(request->digest) && IsDigest(request->diff_id);
}

Outcome Run(const UnpackRequest& request, UnpackCounters* counters) {
  umask(0);
  syscall(SYS_close_range, kLayer + 1, ~0U, 0);  // whatever else was inherited
  signal(SIGXFSZ, SIG_IGN);                      // a file beyond RLIMIT_FSIZE is EFBIG
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);     // the daemon dies: the layer is of no use
  OUTCOME_TRY(EnterLayerRoot(kLayer));
  close(kLayer);
  const int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) return Outcome::System(errno, "open the layer");
  OUTCOME_TRY(DropPrivileges());
  return Unpack(request, kInput, root, kResult, counters);
}

std::string ResultLine(const Outcome& outcome, const UnpackCounters& counters) {
  if (outcome.ok()) {
    return "ok " + std::to_string(counters.entries) + " " + std::to_string(counters.bytes) + " " +
           std::to_string(counters.inodes) + " " + (counters.opaque_root ? "1" : "0") + "\n";
  }
  const std::string text = outcome.text().substr(0, 2000);
  if (outcome.err() == 0) return "bad " + text + "\n";
  return "sys " + std::to_string(outcome.err()) + " " + text + "\n";
}

}  // namespace
}  // namespace crisp::image

int main(int argc, char** argv) {
  crisp::image::UnpackRequest request;
  if (!crisp::image::ParseArguments(argc, argv, &request)) return 2;
  crisp::image::UnpackCounters counters;
  const crisp::image::Outcome outcome = crisp::image::Run(request, &counters);
  const std::string line = crisp::image::ResultLine(outcome, counters);
  const bool told =
      write(crisp::image::kResult, line.data(), line.size()) == static_cast<ssize_t>(line.size());
  _exit(outcome.ok() && told ? 0 : 1);  // without destructors: the other thread may still read
}
