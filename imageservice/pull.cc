#include "imageservice/pull.h"

#include <string.h>

#include <chrono>

#include "imageservice/assemble.h"
#include "imageservice/content/digest.h"
#include "imageservice/registry/client.h"
#include "runtime/base/stages.h"
#include "runtime/base/trim.h"

namespace crisp::image {
namespace {

constexpr auto kCancelPoll = std::chrono::milliseconds(50);

// Secrets are compared by hash: the key lives as long as the job, the secrets only in it.
std::string KeyOf(const Reference& reference, const Auth& auth) {
  Sha256 hash;
  for (const std::string* part : {&auth.username, &auth.password, &auth.identity_token,
                                  &auth.registry_token, &auth.server_address}) {
    hash.Update(absl::StrCat(part->size(), ":"));
    hash.Update(*part);
  }
  return absl::StrCat(reference.Text(), " ", hash.Digest());
}

void Wipe(std::string* secret) {
  explicit_bzero(secret->data(), secret->size());
  secret->clear();
}

}  // namespace

Puller::Puller(const ImageOptions& options, LayerStore* layers, ImageStore* images)
    : options_(options), layers_(layers), images_(images) {}

Puller::~Puller() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (const JobPtr& job : jobs_) job->state.cancelled = true;
  changed_.wait(lock, [this] {
    for (const JobPtr& job : jobs_) {
      if (!job->done) return false;
    }
    return true;
  });
  for (const JobPtr& job : jobs_) job->thread.join();
}

// Threads of finished jobs; called with the lock held.
void Puller::ReapDone() {
  for (auto it = jobs_.begin(); it != jobs_.end();) {
    if ((*it)->done) {
      (*it)->thread.join();
      it = jobs_.erase(it);
    } else {
      ++it;
    }
  }
}

Puller::JobPtr Puller::Join(const Reference& reference, const Auth& auth) {
  const std::string key = KeyOf(reference, auth);
  const std::lock_guard<std::mutex> lock(mutex_);
  ReapDone();
  for (const JobPtr& job : jobs_) {
    if (job->key != key || job->state.cancelled) continue;
    ++job->waiters;
    return job;
  }
  auto job = std::make_shared<Job>();
  job->reference = reference;
  job->key = key;
  job->auth = auth;
  job->state.reference = reference.Text();
  job->state.started_nanos = RealtimeNanos();
  job->waiters = 1;
  jobs_.push_back(job);
  job->thread = std::thread([this, job] { Run(job); });
  return job;
}

StatusOr<std::string> Puller::Pull(const std::string& text, const Auth& auth,
                                   const std::function<bool()>& cancelled) {
  ASSIGN_OR_RETURN(const Reference reference, ParseReference(text));
  if (cancelled()) return absl::CancelledError(absl::StrCat("pull ", text, ": cancelled"));
  const JobPtr job = Join(reference, auth);
  std::unique_lock<std::mutex> lock(mutex_);
  bool gave_up = false;
  while (!job->done && !gave_up) {
    changed_.wait_for(lock, kCancelPoll);
    lock.unlock();
    gave_up = cancelled();
    lock.lock();
  }
  --job->waiters;
  if (job->done) return job->result;
  if (job->waiters == 0) job->state.cancelled = true;
  return absl::CancelledError(absl::StrCat("pull ", text, ": cancelled"));
}

void Puller::Run(const JobPtr& job) {
  StatusOr<std::string> result = Execute(job.get());
  for (std::string* secret : {&job->auth.username, &job->auth.password, &job->auth.identity_token,
                              &job->auth.registry_token}) {
    Wipe(secret);
  }
  GiveBackIdleMemory();  // buffers of connections and manifests, and what TLS needed
  const std::lock_guard<std::mutex> lock(mutex_);
  job->result = std::move(result);
  job->done = true;
  changed_.notify_all();
}

StatusOr<std::string> Puller::Execute(Job* job) {
  const Reference& reference = job->reference;
  const RegistryClientOptions options{&options_, &job->auth, &job->state};
  RegistryClient client(reference, options);
  auto image =
      Assemble(&client, reference.digest, layers_, options_.max_parallel_layers, &job->state);
  if (!image.ok()) return AnnotatePull(image.status(), reference);
  image->record.digests.insert(absl::StrCat(reference.Name(), "@", image->digest));
  if (reference.digest.empty()) image->record.tags.insert(reference.Tagged());
  const std::string id = image->record.id;
  const Status stored = images_->Put(std::move(image->record), std::move(image->layers));
  if (!stored.ok()) return AnnotatePull(stored, reference);
  return id;
}

std::vector<PullProgress> Puller::Progress() {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<PullProgress> all;
  for (const JobPtr& job : jobs_) {
    if (job->done) continue;
    const PullState& state = job->state;
    all.push_back({state.reference, state.bytes_done, state.bytes_total, state.layers_done,
                   state.layers_total, state.started_nanos});
  }
  return all;
}

}  // namespace crisp::image
