// The CRI messages (k8s.io/cri-api runtime.v1) under a short name. The protobuf package is
// ::runtime::v1; crisp::runtime is ours, so inside namespace crisp always write v1::X.
#pragma once

#include "cri/api/api.pb.h"

namespace crisp {
namespace v1 = ::runtime::v1;
}  // namespace crisp
