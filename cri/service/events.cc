#include "cri/service/events.h"

#include <chrono>

#include "cri/service/encoded_objects.h"
#include "cri/service/runtime_service.h"
#include "runtime/base/metrics.h"
#include "runtime/base/stages.h"

namespace crisp::cri {
namespace {

// The sync API does not tell when a client goes away: a waiting reader looks so often.
constexpr std::chrono::milliseconds kLook{500};
constexpr int64_t kStuckNanos = 10'000'000'000;

Status Behind() {
  return absl::ResourceExhaustedError(
      "events were lost: this reader is too slow; list pods and containers, then ask again");
}

}  // namespace

void EventHub::Note(v1::ContainerEventType type, const std::shared_ptr<Pod>& pod,
                    const Container& container) {
  Add({type, RealtimeNanos(), pod, container.id, EncodedStatus(container), ""});
}

void EventHub::Note(v1::ContainerEventType type, const std::shared_ptr<Pod>& pod) {
  Add({type, RealtimeNanos(), pod, pod->id, "", EncodedStatus(*pod)});
}

void EventHub::Add(EventNote note) {
  const std::lock_guard<std::mutex> lock(mu_);
  if (readers_.empty()) return;
  bytes_ += note.container_status.size() + note.pod_status.size();
  notes_.push_back(std::make_shared<const EventNote>(std::move(note)));
  while (notes_.size() > kMostNotes || (bytes_ > kMostBytes && notes_.size() > 1)) {
    bytes_ -= notes_.front()->container_status.size() + notes_.front()->pod_status.size();
    notes_.pop_front();
    ++first_;
  }
  CutOffStuckReaders();
  changed_.notify_all();
}

// A reader that does not read holds a thread in its write until its call is cancelled.
void EventHub::CutOffStuckReaders() {
  for (Reader* reader : readers_) {
    if (reader->next >= first_ || reader->cut_off || reader->writing_since == 0) continue;
    if (MonotonicNanos() - reader->writing_since < kStuckNanos) continue;
    reader->cut_off = true;
    reader->writer->Abort();
  }
}

Status EventHub::Serve(StreamWriter<v1::ContainerEventResponse>& writer, CallContext& call) {
  Reader reader{&writer};
  {
    const std::lock_guard<std::mutex> lock(mu_);
    if (readers_.size() >= kMostReaders)
      return absl::ResourceExhaustedError(
          absl::StrCat("there are ", kMostReaders, " readers of events already"));
    reader.next = first_ + notes_.size();
    readers_.insert(&reader);
    wanted_ = true;
  }
  writer.Begin();  // tells the client: what happens from now on it will see
  const Status status = Pump(reader, call);
  if (absl::IsResourceExhausted(status)) CountMetric("crisp_event_readers_behind_total");
  const std::lock_guard<std::mutex> lock(mu_);
  readers_.erase(&reader);
  if (!readers_.empty()) return status;
  wanted_ = false;
  first_ += notes_.size();
  notes_.clear();
  bytes_ = 0;
  return status;
}

StatusOr<std::shared_ptr<const EventHub::EventNote>> EventHub::Next(Reader& reader,
                                                                    CallContext& call) {
  std::unique_lock<std::mutex> lock(mu_);
  reader.writing_since = 0;
  changed_.wait_for(lock, kLook, [&] { return closed_ || reader.next < first_ + notes_.size(); });
  if (closed_) return absl::UnavailableError("the daemon stops");
  if (reader.next < first_) return Behind();
  if (call.cancelled()) return absl::CancelledError("the client went away");
  if (reader.next == first_ + notes_.size()) return nullptr;
  reader.writing_since = MonotonicNanos();
  return notes_[reader.next++ - first_];
}

Status EventHub::Pump(Reader& reader, CallContext& call) {
  for (;;) {
    ASSIGN_OR_RETURN(const std::shared_ptr<const EventNote> note, Next(reader, call));
    if (!note || reader.writer->Write(MessageOf(*note))) continue;
    const std::lock_guard<std::mutex> lock(mu_);
    return reader.cut_off ? Behind() : absl::CancelledError("the client went away");
  }
}

// The object's own status is that of the event's moment; the rest of the pod is as it is now.
v1::ContainerEventResponse EventHub::MessageOf(const EventNote& note) {
  using Response = v1::ContainerEventResponse;
  Response message;
  message.set_container_id(note.container_id);
  message.set_container_event_type(note.type);
  message.set_created_at(note.time_nanos);
  std::vector<std::shared_ptr<Container>> containers;
  std::string pod_status = note.pod_status;
  {
    const std::lock_guard<std::mutex> lock(note.pod->mu);
    if (pod_status.empty()) pod_status = EncodedStatus(*note.pod);
    containers = note.pod->containers;
  }
  AppendEncoded(&message, Response::kPodSandboxStatusFieldNumber, std::move(pod_status));
  const bool deleted = note.type == v1::CONTAINER_DELETED_EVENT;
  if (!note.container_status.empty() && !deleted)
    AppendEncoded(&message, Response::kContainersStatusesFieldNumber, note.container_status);
  for (const auto& container : containers) {
    if (container->id == note.container_id) continue;
    const std::lock_guard<std::mutex> lock(container->mu);
    AppendEncoded(&message, Response::kContainersStatusesFieldNumber, EncodedStatus(*container));
  }
  return message;
}

void RuntimeService::NoteEvent(v1::ContainerEventType type, const Container& container) {
  if (!events_.wanted()) return;
  if (const auto pod = parts_.pods->FindPod(container.pod_id); pod.ok())
    events_.Note(type, *pod, container);
}

void RuntimeService::NoteEvent(v1::ContainerEventType type, const Pod& pod) {
  if (!events_.wanted()) return;
  if (const auto found = parts_.pods->FindPod(pod.id); found.ok()) events_.Note(type, *found);
}

void EventHub::Close() {
  const std::lock_guard<std::mutex> lock(mu_);
  closed_ = true;
  changed_.notify_all();
}

}  // namespace crisp::cri
