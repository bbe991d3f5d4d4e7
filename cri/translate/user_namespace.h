// UserNamespace of NamespaceOption.
#pragma once

#include "cri/translate/container_spec.h"

namespace crisp::cri {

// Empty: the node's user namespace.
StatusOr<runtime::IdMap> IdMapOf(const v1::NamespaceOption& options);

// What can be refused of a pod's request.
Status CheckPodUserNamespace(const v1::NamespaceOption& options);

// The pod's, which the container's request must repeat if it says anything.
Status FillUserNamespace(const TranslateInput& input, runtime::ContainerSpec* spec);

}  // namespace crisp::cri
