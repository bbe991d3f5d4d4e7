// What the debug socket shows: /healthz, /metrics, /pods, /pulls, /calls.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "cri/api/call_log.h"
#include "cri/debug/debug_server.h"
#include "cri/pods/pod_store.h"
#include "imageservice/image_service.h"

namespace crisp::cri {

// The objects must outlive the server.
std::map<std::string, DebugPage> DebugPages(const PodStore& pods, image::ImageService& images,
                                            const CallLog& calls,
                                            std::function<void()> refresh_metrics);

}  // namespace crisp::cri
