// GetContainerEvents: what happens to pods and containers, in its order, to any number of readers.
// One ring of small notes for all of them; each reader has only a place in it. Noting never waits
// for a reader: one that falls out of the ring is told so and has to list again, one that does not
// read at all is cut off. docs/design/events.md.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "cri/api/services.h"
#include "cri/pods/pod.h"

namespace crisp::cri {

class EventHub {
 public:
  // Whether anybody reads: without, nothing has to be noted.
  bool wanted() const { return wanted_; }
  // The object's lock is held by the caller: so the notes of one object are in the order of its
  // states.
  void Note(v1::ContainerEventType type, const std::shared_ptr<Pod>& pod,
            const Container& container);
  void Note(v1::ContainerEventType type, const std::shared_ptr<Pod>& pod);

  // Writes every later event until the client goes away or falls behind.
  Status Serve(StreamWriter<v1::ContainerEventResponse>& writer, CallContext& call);
  // Ends all readers with UNAVAILABLE, now and later: the daemon stops.
  void Close();

  static constexpr size_t kMostNotes = 2048;
  static constexpr size_t kMostBytes = 8 << 20;
  static constexpr size_t kMostReaders = 32;

 private:
  struct EventNote {
    v1::ContainerEventType type;
    int64_t time_nanos;
    std::shared_ptr<Pod> pod;
    std::string container_id;      // the pod's id for its own events
    std::string container_status;  // encoded, as it was then; "" for the pod's own
    std::string pod_status;        // as it was then; "" for a container's
  };
  struct Reader {
    StreamWriter<v1::ContainerEventResponse>* writer;
    uint64_t next = 0;
    int64_t writing_since = 0;  // monotonic; 0: not in a write
    bool cut_off = false;
  };

  void Add(EventNote note);
  void CutOffStuckReaders();
  Status Pump(Reader& reader, CallContext& call);
  // The reader's next note; null if there is none yet.
  StatusOr<std::shared_ptr<const EventNote>> Next(Reader& reader, CallContext& call);
  static v1::ContainerEventResponse MessageOf(const EventNote& note);

  std::atomic<bool> wanted_{false};
  std::mutex mu_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<const EventNote>> notes_;
  size_t bytes_ = 0;
  uint64_t first_ = 0;  // number of notes_.front()
  std::set<Reader*> readers_;
  bool closed_ = false;
};

}  // namespace crisp::cri
