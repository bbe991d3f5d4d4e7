// Names on the command line -> pods and containers.
#pragma once

#include <string>

#include "cri/cli/cri_client.h"

namespace crisp::cli {

// Pods that `crisp run` made carry this label: they are removed with their container.
inline constexpr char kRunLabel[] = "io.crisp.cli/run";

// By id, name or unambiguous id prefix; NOT_FOUND, or INVALID_ARGUMENT naming the candidates.
StatusOr<v1::Container> FindContainer(CriClient& client, const std::string& text);
StatusOr<v1::PodSandbox> FindPod(CriClient& client, const std::string& text);

// The choice itself, for containers and pods alike: a running one wins over ended ones of the same
// name.
StatusOr<v1::Container> ChooseContainer(const v1::ListContainersResponse& list,
                                        const std::string& text);
StatusOr<v1::PodSandbox> ChoosePod(const v1::ListPodSandboxResponse& list, const std::string& text);

bool IsFromRun(const v1::PodSandbox& pod);
// Stops and removes the pod and its log directory if `crisp run` made it.
Status RemovePod(CriClient& client, const v1::PodSandbox& pod);

}  // namespace crisp::cli
