#include "imageservice/layers/trash.h"

#include <fcntl.h>
#include <stdio.h>

#include <cerrno>

#include "runtime/base/files.h"
#include "runtime/base/id.h"

namespace crisp::image {

StatusOr<std::unique_ptr<Trash>> Trash::Open(const std::string& path) {
  auto trash = std::unique_ptr<Trash>(new Trash());
  RETURN_IF_ERROR(MakeDirs(path, 0700));
  ASSIGN_OR_RETURN(trash->directory_, OpenDir(path));
  ASSIGN_OR_RETURN(const std::vector<std::string> left, ListDir(trash->directory_.get()));
  trash->names_.assign(left.begin(), left.end());
  trash->worker_ = std::thread([self = trash.get()] { self->Run(); });
  return trash;
}

Trash::~Trash() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ending_ = true;
    changed_.notify_all();
  }
  if (worker_.joinable()) worker_.join();
}

Status Trash::Throw(int directory, const std::string& name) {
  const std::string id = RandomHex(32);
  if (renameat(directory, name.c_str(), directory_.get(), id.c_str()) != 0) {
    if (errno == ENOENT) return absl::OkStatus();
    return ErrnoStatus(errno, "move ", name, " to the trash");
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  names_.push_back(id);
  changed_.notify_all();
  return absl::OkStatus();
}

void Trash::Run() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return ending_ || !names_.empty(); });
    if (ending_) return;
    const std::string name = names_.front();
    names_.pop_front();
    lock.unlock();
    // An error (a dying unpacker may still write into it) leaves the rest to the next Open.
    RemoveTreeAt(directory_.get(), name).IgnoreError();
    lock.lock();
  }
}

}  // namespace crisp::image
