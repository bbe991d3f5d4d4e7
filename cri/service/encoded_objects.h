// CRI messages of pods and containers from encoded parts. What never changes of an object is
// encoded once, at the first question; a call copies it and encodes the few fields that do change
// behind it. Protobuf reads fields in any order, so both together are one message, and nothing ever
// has to be invalidated. An object's lock is held by the caller of each function.
#pragma once

#include <string>

#include "cri/pods/pod.h"

namespace crisp::cri {

std::string EncodedListItem(const Pod& pod);              // v1::PodSandbox
std::string EncodedListItem(const Container& container);  // v1::Container
std::string EncodedStatus(const Container& container);    // v1::ContainerStatus
std::string EncodedStatus(const Pod& pod);                // v1::PodSandboxStatus
// The `attributes` of v1::ContainerStats and v1::PodSandboxStats.
std::string EncodedStatsHead(const Container& container);
std::string EncodedStatsHead(const Pod& pod);

// Appends an encoded message as an element of the repeated (or as the singular) message field
// `number`: an unknown field goes out as the bytes that it is made of, without being parsed.
void AppendEncoded(google::protobuf::Message* message, int number, std::string bytes);

}  // namespace crisp::cri
