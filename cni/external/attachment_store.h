// Which pods are attached by external plugins, on disk, so that DEL happens whatever happens to the
// daemon. One file per pod in the format of libcni's result cache ("cniCacheV1").
#pragma once

#include <string>
#include <vector>

#include "cni/conf_list.h"
#include "runtime/base/json.h"
#include "runtime/base/status.h"
#include "runtime/sys/fd.h"

namespace crisp::cni {

struct StoredAttachment {
  std::string container_id, network, ifname = "eth0", netns, args;
  Json config;           // the list as it was at ADD: DEL uses it even if the file has changed
  Json capability_args;  // {"portMappings": [...]}
  Json result;           // null: ADD has not succeeded
};

class AttachmentStore {
 public:
  // `dir` is made if it is missing.
  static StatusOr<AttachmentStore> Open(const std::string& dir);

  Status Put(const StoredAttachment& attachment);
  StatusOr<StoredAttachment> Get(const std::string& container_id) const;
  Status Remove(const std::string& container_id);
  // The ids of all; files that are not ours are passed over.
  StatusOr<std::vector<std::string>> List() const;

 private:
  explicit AttachmentStore(UniqueFd dir) : dir_(std::move(dir)) {}
  UniqueFd dir_;
};

}  // namespace crisp::cni
