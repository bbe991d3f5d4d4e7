#include "runtime/cgroup/sd_bus_api.h"

#include <dlfcn.h>

#include <mutex>

namespace crisp::runtime {
namespace {

constexpr char kLibrary[] = "libsystemd.so.0";

template <typename Function>
bool Find(void* library, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(library, name));
  return *function != nullptr;
}

Status Load(SdBusApi* api) {
  void* library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* reason = dlerror();
    return absl::FailedPreconditionError(absl::StrCat("load ", kLibrary, ": ", reason));
  }
  const bool found = Find(library, "sd_bus_new", &api->bus_new) &&
                     Find(library, "sd_bus_set_address", &api->set_address) &&
                     Find(library, "sd_bus_start", &api->start) &&
                     Find(library, "sd_bus_flush_close_unref", &api->flush_close_unref) &&
                     Find(library, "sd_bus_call", &api->call) &&
                     Find(library, "sd_bus_process", &api->process) &&
                     Find(library, "sd_bus_wait", &api->wait) &&
                     Find(library, "sd_bus_message_new_method_call", &api->new_call) &&
                     Find(library, "sd_bus_message_append", &api->append) &&
                     Find(library, "sd_bus_message_open_container", &api->open_container) &&
                     Find(library, "sd_bus_message_close_container", &api->close_container) &&
                     Find(library, "sd_bus_message_read", &api->read) &&
                     Find(library, "sd_bus_message_is_signal", &api->is_signal) &&
                     Find(library, "sd_bus_message_unref", &api->message_unref) &&
                     Find(library, "sd_bus_error_free", &api->error_free);
  if (!found) return absl::FailedPreconditionError(absl::StrCat(kLibrary, ": too old"));
  return absl::OkStatus();
}

}  // namespace

StatusOr<const SdBusApi*> LoadSdBus() {
  static std::mutex mutex;
  static SdBusApi api;
  static bool loaded = false;
  const std::lock_guard<std::mutex> lock(mutex);
  if (!loaded) RETURN_IF_ERROR(Load(&api));
  loaded = true;
  return &api;
}

}  // namespace crisp::runtime
