#include "imageservice/service.h"

#include <fcntl.h>
#include <unistd.h>

#include "absl/strings/strip.h"
#include "imageservice/assemble.h"
#include "imageservice/oci_layout.h"
#include "imageservice/reference.h"
#include "runtime/base/files.h"
#include "runtime/base/stages.h"

namespace crisp::image {
namespace {

// Exists while a daemon uses the store. Its content tells a killed daemon from a lost machine.
constexpr char kInUse[] = "in-use";

std::string BootId() {
  const auto text = ReadFile("/proc/sys/kernel/random/boot_id", 128);
  return text.ok() ? std::string(absl::StripAsciiWhitespace(*text)) : "unknown";
}

// The unpacker is installed beside the program that uses this library.
StatusOr<std::string> UnpackerBesideUs() {
  char path[4096];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof(path));
  if (size <= 0) return ErrnoStatus(errno, "readlink /proc/self/exe");
  const std::string self(path, static_cast<size_t>(size));
  return absl::StrCat(self.substr(0, self.rfind('/')), "/crisp-unpack");
}

}  // namespace

StatusOr<std::unique_ptr<ImageService>> ImageService::Open(const ImageOptions& options) {
  ASSIGN_OR_RETURN(std::unique_ptr<Service> service, Service::Open(options));
  return std::unique_ptr<ImageService>(std::move(service));
}

StatusOr<std::unique_ptr<Service>> Service::Open(const ImageOptions& options) {
  auto service = std::unique_ptr<Service>(new Service());
  service->options_ = options;
  if (options.root.empty() || options.root[0] != '/') {
    return InvalidField("images.root", options.root, "not an absolute path");
  }
  if (options.keep_blobs) {
    return InvalidField("images.keep_blobs", "true", "compressed layers are not kept yet");
  }
  if (options.unpacker.empty()) {
    ASSIGN_OR_RETURN(service->options_.unpacker, UnpackerBesideUs());
  }
  RETURN_IF_ERROR(MakeDirs(options.root, 0711));
  ASSIGN_OR_RETURN(service->root_, OpenDir(options.root));
  RETURN_IF_ERROR(Annotate(LockExclusive(service->root_.get()), "lock image store ", options.root,
                           " (does another daemon use it?)"));
  RETURN_IF_ERROR(service->MarkInUse());
  ASSIGN_OR_RETURN(service->layers_, LayerStore::Open(options.root, service->options_.unpacker));
  ASSIGN_OR_RETURN(service->images_,
                   ImageStore::Open(options.root, service->layers_, service->power_lost_));
  service->puller_ =
      std::make_unique<Puller>(service->options_, service->layers_.get(), service->images_.get());
  return service;
}

// Was the last stop clean?
Status Service::MarkInUse() {
  const auto before = ReadFileAt(root_.get(), kInUse, 256);
  power_lost_ = before.ok() && *before != BootId();
  return Annotate(WriteFileAtomic(root_.get(), kInUse, BootId(), 0600, true), "image store");
}

Service::~Service() {
  puller_.reset();
  if (layers_) layers_->Close();
  if (!images_) return;
  images_.reset();
  if (syncfs(root_.get()) == 0) unlinkat(root_.get(), kInUse, 0);
}

StatusOr<std::string> Service::Pull(const std::string& reference, const Auth& auth,
                                    const std::function<bool()>& cancelled) {
  return puller_->Pull(reference, auth, cancelled);
}

StatusOr<std::optional<ImageInfo>> Service::Find(const std::string& reference) {
  ASSIGN_OR_RETURN(const StoredImagePtr image, images_->Find(reference));
  if (!image) return std::optional<ImageInfo>();
  return std::optional<ImageInfo>(image->info);
}

std::vector<ImageInfo> Service::List() {
  std::vector<ImageInfo> all;
  for (const StoredImagePtr& image : images_->List()) all.push_back(image->info);
  return all;
}

Status Service::Remove(const std::string& reference) {
  ASSIGN_OR_RETURN(const StoredImagePtr image, images_->Find(reference));
  if (!image) return absl::OkStatus();
  return images_->Remove(image->record.id);
}

StatusOr<FsUsage> Service::Usage() {
  const LayerInfo sum = layers_->Usage();
  FsUsage usage;
  usage.mountpoint = options_.root;
  usage.used_bytes = sum.bytes;
  usage.inodes_used = sum.inodes;
  usage.timestamp_nanos = RealtimeNanos();
  return usage;
}

StatusOr<ImageHandle> Service::Acquire(const std::string& reference) {
  ASSIGN_OR_RETURN(const StoredImagePtr image, images_->Find(reference));
  if (!image) return absl::NotFoundError(absl::StrCat("image \"", reference, "\" not found"));
  ImageHandle handle;
  handle.info = image->info;
  for (auto layer = image->layers.rbegin(); layer != image->layers.rend(); ++layer) {
    handle.lower_dirs.push_back((*layer)->path());
    if ((*layer)->info().opaque_root) break;  // overlay ignores the mark on a root
  }
  handle.pin = std::const_pointer_cast<StoredImage>(image);
  return handle;
}

StatusOr<std::shared_ptr<void>> Service::Hold(const std::vector<std::string>& lower_dirs) {
  auto layers = std::make_shared<std::vector<LayerPtr>>();
  for (const std::string& dir : lower_dirs) {
    ASSIGN_OR_RETURN(LayerPtr layer, layers_->AdoptPath(dir));
    layers->push_back(std::move(layer));
  }
  return std::shared_ptr<void>(std::move(layers));
}

StatusOr<std::string> Service::LoadLayout(const std::string& directory, const std::string& tag,
                                          bool pin) {
  ASSIGN_OR_RETURN(const Reference reference, ParseReference(tag));
  ASSIGN_OR_RETURN(const std::unique_ptr<OciLayout> layout, OciLayout::Open(directory));
  ASSIGN_OR_RETURN(const std::string root, layout->RootDigest());
  PullState state;
  auto image = Assemble(layout.get(), root, layers_.get(), options_.max_parallel_layers, &state);
  if (!image.ok()) return Annotate(image.status(), "load layout ", directory);
  image->record.tags.insert(reference.Tagged());
  image->record.digests.insert(absl::StrCat(reference.Name(), "@", image->digest));
  image->record.pinned = pin;
  const std::string id = image->record.id;
  RETURN_IF_ERROR(images_->Put(std::move(image->record), std::move(image->layers)));
  return id;
}

std::vector<PullProgress> Service::Pulls() { return puller_->Progress(); }

}  // namespace crisp::image
