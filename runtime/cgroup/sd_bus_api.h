// libsystemd by dlopen: it and its compression libraries stay out of a daemon whose cgroups are
// cgroupfs.
#pragma once

#include <systemd/sd-bus.h>

#include "runtime/base/status.h"

namespace crisp::runtime {

struct SdBusApi {
  decltype(&::sd_bus_new) bus_new = nullptr;
  decltype(&::sd_bus_set_address) set_address = nullptr;
  decltype(&::sd_bus_start) start = nullptr;
  decltype(&::sd_bus_flush_close_unref) flush_close_unref = nullptr;
  decltype(&::sd_bus_call) call = nullptr;
  decltype(&::sd_bus_process) process = nullptr;
  decltype(&::sd_bus_wait) wait = nullptr;
  decltype(&::sd_bus_message_new_method_call) new_call = nullptr;
  decltype(&::sd_bus_message_append) append = nullptr;
  decltype(&::sd_bus_message_open_container) open_container = nullptr;
  decltype(&::sd_bus_message_close_container) close_container = nullptr;
  decltype(&::sd_bus_message_read) read = nullptr;
  decltype(&::sd_bus_message_is_signal) is_signal = nullptr;
  decltype(&::sd_bus_message_unref) message_unref = nullptr;
  decltype(&::sd_bus_error_free) error_free = nullptr;
};

// Loaded once; FAILED_PRECONDITION names the missing library.
StatusOr<const SdBusApi*> LoadSdBus();

}  // namespace crisp::runtime
