#include "imageservice/image_store.h"

#include <unistd.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "imageservice/content/digest.h"
#include "imageservice/manifest.h"
#include "imageservice/reference.h"
#include "runtime/base/files.h"
#include "runtime/base/stages.h"

namespace crisp::image {
namespace {

constexpr size_t kMaxRecordFile = 32 << 20;

bool IsHex(absl::string_view text) {
  return !text.empty() && text.size() <= 64 &&
         text.find_first_not_of("0123456789abcdef") == absl::string_view::npos;
}

StatusOr<std::vector<LayerPtr>> AdoptAll(LayerStore* layers, const ImageRecord& record, bool deep) {
  std::vector<LayerPtr> held;
  for (const std::string& diff_id : record.diff_ids) {
    if (!IsDigest(diff_id)) return absl::DataLossError("image record: diffIds");
    ASSIGN_OR_RETURN(LayerPtr layer, layers->Adopt(diff_id, deep));
    held.push_back(std::move(layer));
  }
  return held;
}

}  // namespace

StatusOr<StoredImagePtr> MakeStoredImage(ImageRecord record, std::vector<LayerPtr> layers) {
  ASSIGN_OR_RETURN(ParsedConfig parsed, ParseImageConfig(record.config_json));
  auto image = std::make_shared<StoredImage>();
  ImageInfo& info = image->info;
  info.id = record.id;
  info.repo_tags.assign(record.tags.begin(), record.tags.end());
  info.repo_digests.assign(record.digests.begin(), record.digests.end());
  info.size = record.size;
  info.pinned = record.pinned;
  info.config = std::move(parsed.config);
  info.config_json = record.config_json;
  info.chain_ids = ChainIds(record.diff_ids);
  image->record = std::move(record);
  image->layers = std::move(layers);
  return StoredImagePtr(std::move(image));
}

StatusOr<std::unique_ptr<ImageStore>> ImageStore::Open(const std::string& root,
                                                       std::shared_ptr<LayerStore> layers,
                                                       bool deep) {
  auto store = std::unique_ptr<ImageStore>(new ImageStore());
  const std::string path = absl::StrCat(root, "/records");
  RETURN_IF_ERROR(MakeDirs(path, 0700));
  ASSIGN_OR_RETURN(store->records_, OpenDir(path));
  store->layers_ = std::move(layers);
  RETURN_IF_ERROR(store->Load(store->layers_.get(), deep));
  return store;
}

Status ImageStore::Load(LayerStore* layers, bool deep) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDir(records_.get()));
  std::vector<ImageRecord> records;
  for (const std::string& name : names) {
    StatusOr<ImageRecord> record = absl::DataLossError("not a record");
    if (IsHex(name) && name.size() == 64) {
      const auto text = ReadFileAt(records_.get(), name, kMaxRecordFile);
      if (text.ok()) record = DecodeRecord(*text);
    }
    if (record.ok() && HexOf(record->id) == name) {
      records.push_back(*std::move(record));
    } else {  // a temporary file, or damaged: the image is gone, its bytes must not stay
      unlinkat(records_.get(), name.c_str(), 0);
    }
  }
  std::sort(records.begin(), records.end(), [](const ImageRecord& a, const ImageRecord& b) {
    return a.updated_nanos < b.updated_nanos;
  });
  for (ImageRecord& record : records) {
    auto held = AdoptAll(layers, record, deep);
    auto image = held.ok() ? MakeStoredImage(record, *std::move(held)) : held.status();
    if (!image.ok()) {
      unlinkat(records_.get(), HexOf(record.id).c_str(), 0);
      continue;
    }
    RETURN_IF_ERROR(TakeTags(record));
    Set(*std::move(image));
  }
  return absl::OkStatus();
}

StoredImagePtr ImageStore::Get(const std::string& id) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = images_.find(id);
  return found == images_.end() ? nullptr : found->second;
}

void ImageStore::Set(StoredImagePtr image) {
  StoredImagePtr old;  // destroyed after the lock: releasing layers takes other locks
  const std::lock_guard<std::mutex> lock(mutex_);
  StoredImagePtr& slot = images_[image->record.id];
  old = std::move(slot);
  slot = std::move(image);
}

Status ImageStore::Save(const ImageRecord& record) {
  return WriteFileAtomic(records_.get(), HexOf(record.id), EncodeRecord(record), 0600, true);
}

Status ImageStore::Put(ImageRecord record, std::vector<LayerPtr> layers) {
  const std::lock_guard<std::mutex> writing(writing_);
  const ImageRecord added = record;
  if (const StoredImagePtr old = Get(record.id)) {
    record.tags.insert(old->record.tags.begin(), old->record.tags.end());
    record.digests.insert(old->record.digests.begin(), old->record.digests.end());
    record.pinned = record.pinned || old->record.pinned;
    record.size = old->record.size;
    const bool same = record.tags == old->record.tags && record.digests == old->record.digests &&
                      record.pinned == old->record.pinned;
    if (same) return absl::OkStatus();
  }
  // Data first: the layers must be on disk before a record names them.
  RETURN_IF_ERROR(layers_->Sync());
  record.updated_nanos = RealtimeNanos();
  RETURN_IF_ERROR(Save(record));
  ASSIGN_OR_RETURN(StoredImagePtr image, MakeStoredImage(std::move(record), std::move(layers)));
  Set(std::move(image));
  return TakeTags(added);
}

// A tag names one image. Written after the new owner's record: a crash in between is settled by
// the times of the records.
Status ImageStore::TakeTags(const ImageRecord& owner) {
  for (const StoredImagePtr& image : List()) {
    if (image->record.id == owner.id) continue;
    ImageRecord rest = image->record;
    for (const std::string& tag : owner.tags) rest.tags.erase(tag);
    if (rest.tags.size() == image->record.tags.size()) continue;
    RETURN_IF_ERROR(Save(rest));
    ASSIGN_OR_RETURN(StoredImagePtr changed, MakeStoredImage(std::move(rest), image->layers));
    Set(std::move(changed));
  }
  return absl::OkStatus();
}

StoredImagePtr ImageStore::FindByName(const std::string& reference) {
  const auto parsed = ParseReference(reference);
  if (!parsed.ok()) return nullptr;
  const std::string name = parsed->Text();
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& [id, image] : images_) {
    const ImageRecord& record = image->record;
    const bool hit =
        parsed->digest.empty() ? record.tags.count(name) != 0 : record.digests.count(name) != 0;
    if (hit) return image;
  }
  return nullptr;
}

StatusOr<StoredImagePtr> ImageStore::FindByPrefix(const std::string& hex) {
  const std::string prefix = absl::StrCat("sha256:", hex);
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto first = images_.lower_bound(prefix);
  if (first == images_.end() || !absl::StartsWith(first->first, prefix)) return StoredImagePtr();
  const auto second = std::next(first);
  if (second != images_.end() && absl::StartsWith(second->first, prefix)) {
    return InvalidField("image", hex, "this id prefix is ambiguous");
  }
  return first->second;
}

StatusOr<StoredImagePtr> ImageStore::Find(const std::string& reference) {
  if (IsDigest(reference)) return Get(reference);
  if (StoredImagePtr image = FindByName(reference)) return image;
  std::string hex = reference;
  if (absl::StartsWith(hex, "sha256:")) hex = hex.substr(7);
  return IsHex(hex) ? FindByPrefix(hex) : StoredImagePtr();
}

std::vector<StoredImagePtr> ImageStore::List() {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<StoredImagePtr> all;
  for (const auto& [id, image] : images_) all.push_back(image);
  return all;
}

Status ImageStore::Remove(const std::string& id) {
  const std::lock_guard<std::mutex> writing(writing_);
  StoredImagePtr gone;  // outlives the lock
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = images_.find(id);
    if (found == images_.end()) return absl::OkStatus();
    gone = std::move(found->second);
    images_.erase(found);
  }
  if (unlinkat(records_.get(), HexOf(id).c_str(), 0) != 0 && errno != ENOENT) {
    return ErrnoStatus(errno, "remove the record of image ", id);
  }
  // Before the layers go: a record without layers would only be dropped, but say so on disk.
  if (fsync(records_.get()) != 0) return ErrnoStatus(errno, "sync the image records");
  return absl::OkStatus();
}

}  // namespace crisp::image
