#include "imageservice/registry/curl_api.h"

#include <dlfcn.h>

#include <mutex>

namespace crisp::image {
namespace {

constexpr char kLibrary[] = "libcurl.so.4";

template <typename Function>
bool Find(void* library, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(library, name));
  return *function != nullptr;
}

Status Load(CurlApi* api) {
  void* library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* reason = dlerror();
    return absl::FailedPreconditionError(absl::StrCat("load ", kLibrary, ": ", reason));
  }
  const bool found = Find(library, "curl_global_init", &api->global_init) &&
                     Find(library, "curl_easy_init", &api->easy_init) &&
                     Find(library, "curl_easy_cleanup", &api->easy_cleanup) &&
                     Find(library, "curl_easy_reset", &api->easy_reset) &&
                     Find(library, "curl_easy_setopt", &api->easy_setopt) &&
                     Find(library, "curl_easy_strerror", &api->easy_strerror) &&
                     Find(library, "curl_multi_init", &api->multi_init) &&
                     Find(library, "curl_multi_cleanup", &api->multi_cleanup) &&
                     Find(library, "curl_multi_add_handle", &api->multi_add_handle) &&
                     Find(library, "curl_multi_remove_handle", &api->multi_remove_handle) &&
                     Find(library, "curl_multi_perform", &api->multi_perform) &&
                     Find(library, "curl_multi_poll", &api->multi_poll) &&
                     Find(library, "curl_multi_info_read", &api->multi_info_read) &&
                     Find(library, "curl_slist_append", &api->slist_append) &&
                     Find(library, "curl_slist_free_all", &api->slist_free_all);
  if (!found) return absl::FailedPreconditionError(absl::StrCat(kLibrary, ": too old"));
  if (api->global_init(CURL_GLOBAL_DEFAULT) != 0) {
    return absl::InternalError("curl_global_init failed");
  }
  return absl::OkStatus();
}

}  // namespace

StatusOr<const CurlApi*> LoadCurl() {
  static std::mutex mutex;
  static CurlApi api;
  static bool loaded = false;
  const std::lock_guard<std::mutex> lock(mutex);
  if (!loaded) RETURN_IF_ERROR(Load(&api));
  loaded = true;
  return &api;
}

}  // namespace crisp::image
