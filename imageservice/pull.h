// Pulls in progress. Callers that want the same reference with the same credentials share one job,
// which runs on a thread of its own: it goes on while at least one of them still waits.
#pragma once

#include <condition_variable>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "imageservice/blob_source.h"
#include "imageservice/image_service.h"
#include "imageservice/image_store.h"
#include "imageservice/layers/layer_store.h"
#include "imageservice/reference.h"

namespace crisp::image {

class Puller {
 public:
  Puller(const ImageOptions& options, LayerStore* layers, ImageStore* images);
  ~Puller();  // cancels and waits for what still runs

  StatusOr<std::string> Pull(const std::string& reference, const Auth& auth,
                             const std::function<bool()>& cancelled);
  std::vector<PullProgress> Progress();

 private:
  struct Job {
    Reference reference;
    std::string key;  // who shares it
    Auth auth;
    PullState state;
    int waiters = 0;
    bool done = false;
    StatusOr<std::string> result = absl::UnknownError("running");
    std::thread thread;
  };
  using JobPtr = std::shared_ptr<Job>;

  JobPtr Join(const Reference& reference, const Auth& auth);
  void Run(const JobPtr& job);
  StatusOr<std::string> Execute(Job* job);
  void ReapDone();

  const ImageOptions options_;
  LayerStore* layers_;
  ImageStore* images_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::list<JobPtr> jobs_;
};

}  // namespace crisp::image
