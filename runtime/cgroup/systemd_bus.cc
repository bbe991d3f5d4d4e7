#include "runtime/cgroup/systemd_bus.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "runtime/base/metrics.h"
#include "runtime/base/stages.h"
#include "runtime/cgroup/sd_bus_api.h"
#include "runtime/sys/fd.h"

namespace crisp::runtime {
namespace {

// pid 1 serves its bus here to root, with or without a bus daemon (systemctl uses it), and sends
// the signals about jobs to each of these connections.
constexpr char kSocket[] = "/run/systemd/private", kAddress[] = "unix:path=/run/systemd/private";
constexpr char kService[] = "org.freedesktop.systemd1", kObject[] = "/org/freedesktop/systemd1",
               kManager[] = "org.freedesktop.systemd1.Manager";
constexpr char kUnitExists[] = "org.freedesktop.systemd1.UnitExists";
constexpr char kNoSuchUnit[] = "org.freedesktop.systemd1.NoSuchUnit";

class Connection {
 public:
  static StatusOr<std::unique_ptr<Connection>> Open(int timeout_ms);
  ~Connection() {
    if (bus_ != nullptr) api_->flush_close_unref(bus_);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // The answer's first value, an object path, or "" for an answer without values.
  StatusOr<std::string> Call(sd_bus_message* message);
  Status WaitJob(const std::string& job);

  const SdBusApi& api() const { return *api_; }
  sd_bus* bus() const { return bus_; }

 private:
  Connection(const SdBusApi* api, int timeout_ms)
      : api_(api), end_nanos_(MonotonicNanos() + int64_t{timeout_ms} * 1000000) {}
  uint64_t LeftUs() const {
    const int64_t left = end_nanos_ - MonotonicNanos();
    return left <= 0 ? 0 : static_cast<uint64_t>(left / 1000);
  }

  const SdBusApi* api_;
  sd_bus* bus_ = nullptr;
  int64_t end_nanos_;
};

// Builds one message: the first error sticks, so that a list of appends needs one check.
class Message {
 public:
  Message(const Connection& connection, const char* method) : api_(connection.api()) {
    Check(api_.new_call(connection.bus(), &message_, kService, kObject, kManager, method));
  }
  ~Message() {
    if (message_ != nullptr) api_.message_unref(message_);
  }
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;

  template <typename... Values>
  void Append(const char* types, Values... values) {
    if (error_ >= 0) Check(api_.append(message_, types, values...));
  }
  void Open(char type, const char* contents) {
    if (error_ >= 0) Check(api_.open_container(message_, type, contents));
  }
  void Close() {
    if (error_ >= 0) Check(api_.close_container(message_));
  }
  void Property(const UnitProperty& property) {
    Append("(sv)", property.name.c_str(), "t", property.number);
  }
  StatusOr<sd_bus_message*> Finished() const {
    if (error_ < 0) return ErrnoStatus(-error_, "build a message for systemd");
    return message_;
  }

 private:
  void Check(int result) {
    if (result < 0) error_ = result;
  }
  const SdBusApi& api_;
  sd_bus_message* message_ = nullptr;
  int error_ = 0;
};

StatusOr<std::unique_ptr<Connection>> Connection::Open(int timeout_ms) {
  ASSIGN_OR_RETURN(const SdBusApi* api, LoadSdBus());
  std::unique_ptr<Connection> connection(new Connection(api, timeout_ms));
  int result = api->bus_new(&connection->bus_);
  if (result >= 0) result = api->set_address(connection->bus_, kAddress);
  if (result >= 0) result = api->start(connection->bus_);
  if (result < 0) return ErrnoStatus(-result, "connect to systemd (", kAddress, ")");
  return connection;
}

StatusOr<std::string> Connection::Call(sd_bus_message* message) {
  CountMetric("crisp_systemd_calls_total");
  sd_bus_error error = SD_BUS_ERROR_NULL;
  sd_bus_message* reply = nullptr;
  const int result = api_->call(bus_, message, LeftUs(), &error, &reply);
  if (result < 0) {
    const std::string name = error.name ? error.name : "";
    const std::string text = error.message ? error.message : strerror(-result);
    api_->error_free(&error);
    if (name == kUnitExists) return absl::AlreadyExistsError(text);
    if (name == kNoSuchUnit) return absl::NotFoundError(text);
    return ErrnoStatus(-result, "systemd: ", text);
  }
  const char* path = nullptr;
  const int read = api_->read(reply, "o", &path);
  std::string first = read > 0 && path != nullptr ? path : "";
  api_->message_unref(reply);
  return first;
}

// Signals that came before the answer wait in the connection's queue.
Status Connection::WaitJob(const std::string& job) {
  while (LeftUs() > 0) {
    sd_bus_message* message = nullptr;
    int result = api_->process(bus_, &message);
    if (result < 0) return ErrnoStatus(-result, "read from systemd");
    if (message != nullptr) {
      const char *path = nullptr, *unit = nullptr, *outcome = nullptr;
      uint32_t number = 0;
      const bool ours = api_->is_signal(message, kManager, "JobRemoved") > 0 &&
                        api_->read(message, "uoss", &number, &path, &unit, &outcome) > 0 &&
                        job == path;
      const std::string end = ours ? outcome : "";
      api_->message_unref(message);
      if (!ours) continue;
      if (end == "done") return absl::OkStatus();
      return absl::InternalError(absl::StrCat("systemd ended the job with \"", end, "\""));
    }
    if (result > 0) continue;
    result = api_->wait(bus_, LeftUs());
    if (result < 0 && result != -EINTR) return ErrnoStatus(-result, "wait for systemd");
  }
  return absl::DeadlineExceededError("systemd did not answer in time");
}

void AppendText(Message& message, const char* name, const std::string& value) {
  message.Append("(sv)", name, "s", value.c_str());
}

StatusOr<std::string> SendStart(Connection& bus, const ScopeRequest& request) {
  Message message(bus, "StartTransientUnit");
  message.Append("ss", request.name.c_str(), "fail");
  message.Open('a', "(sv)");
  AppendText(message, "Description", request.description);
  AppendText(message, "Slice", request.slice);
  AppendText(message, "CollectMode", "inactive-or-failed");
  // Delegate: what is below is ours. TasksMax: else DefaultTasksMax= would bind containers.
  message.Append("(sv)", "Delegate", "b", 1);
  message.Append("(sv)", "TasksMax", "t", UINT64_MAX);
  message.Append("(sv)", "DefaultDependencies", "b", 0);
  message.Append("(sv)", "PIDs", "au", 1, static_cast<uint32_t>(request.first));
  for (const UnitProperty& property : request.properties) message.Property(property);
  message.Close();
  message.Append("a(sa(sv))", 0);
  ASSIGN_OR_RETURN(sd_bus_message * finished, message.Finished());
  return bus.Call(finished);
}

}  // namespace

bool ManagerIsPid1() {
  const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  memcpy(address.sun_path, kSocket, sizeof(kSocket));
  ucred owner{};
  socklen_t size = sizeof(owner);
  return fd.valid() &&
         connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 &&
         getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &owner, &size) == 0 && owner.pid == 1;
}

Status StartScope(const ScopeRequest& request, int timeout_ms) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Connection> bus, Connection::Open(timeout_ms));
  const StatusOr<std::string> job = SendStart(*bus, request);
  RETURN_IF_ERROR(Annotate(job.status(), "start ", request.name));
  return Annotate(bus->WaitJob(*job), "start ", request.name);
}

Status SetUnitProperties(const std::string& name, const std::vector<UnitProperty>& properties,
                         int timeout_ms) {
  if (properties.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::unique_ptr<Connection> bus, Connection::Open(timeout_ms));
  Message message(*bus, "SetUnitProperties");
  message.Append("sb", name.c_str(), 1);
  message.Open('a', "(sv)");
  for (const UnitProperty& property : properties) message.Property(property);
  message.Close();
  ASSIGN_OR_RETURN(sd_bus_message * finished, message.Finished());
  return Annotate(bus->Call(finished).status(), "set properties of ", name);
}

Status StopScope(const std::string& name, int timeout_ms) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Connection> bus, Connection::Open(timeout_ms));
  Message message(*bus, "StopUnit");
  message.Append("ss", name.c_str(), "replace");
  ASSIGN_OR_RETURN(sd_bus_message * finished, message.Finished());
  const StatusOr<std::string> job = bus->Call(finished);
  if (absl::IsNotFound(job.status())) return absl::OkStatus();
  RETURN_IF_ERROR(Annotate(job.status(), "stop ", name));
  return Annotate(bus->WaitJob(*job), "stop ", name);
}

}  // namespace crisp::runtime
