#include "cri/service/image_adapter.h"

#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "cri/service/stream_batches.h"
#include "runtime/base/json.h"
#include "runtime/base/stages.h"

namespace crisp::cri {
namespace {

// The image's user: a number is the uid, anything else a name; never both. A group after ":" is not
// reported.
void FillUser(const std::string& user, v1::Image* out) {
  const std::string name = user.substr(0, user.find(':'));
  int64_t uid = 0;
  if (name.empty()) {
    out->mutable_uid()->set_value(0);
  } else if (name.find_first_not_of("0123456789") == std::string::npos &&
             absl::SimpleAtoi(name, &uid)) {
    out->mutable_uid()->set_value(uid);
  } else {
    out->set_username(name);
  }
}

v1::Image CriImage(const image::ImageInfo& info) {
  v1::Image out;
  out.set_id(info.id);
  for (const std::string& tag : info.repo_tags) out.add_repo_tags(tag);
  for (const std::string& digest : info.repo_digests) out.add_repo_digests(digest);
  out.set_size(info.size);
  FillUser(info.config.user, &out);
  out.mutable_spec()->set_image(info.id);
  out.set_pinned(info.pinned);
  return out;
}

StatusOr<image::Auth> AuthOf(const v1::AuthConfig& config) {
  image::Auth auth{config.username(), config.password(), config.identity_token(),
                   config.registry_token(), config.server_address()};
  if (config.auth().empty()) return auth;
  std::string plain;
  if (!absl::Base64Unescape(config.auth(), &plain))
    return absl::InvalidArgumentError("auth.auth: not base64");
  const std::pair<std::string, std::string> parts = absl::StrSplit(plain, absl::MaxSplits(':', 1));
  auth.username = parts.first;
  auth.password = parts.second;
  return auth;
}

}  // namespace

Status ImageAdapter::ListImages(const v1::ListImagesRequest& request,
                                v1::ListImagesResponse* response, CallContext&) {
  const std::string& wanted = request.filter().image().image();
  if (wanted.empty()) {
    for (const image::ImageInfo& info : images_->List()) *response->add_images() = CriImage(info);
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const auto info, images_->Find(wanted));
  if (info) *response->add_images() = CriImage(*info);
  return absl::OkStatus();
}

Status ImageAdapter::StreamImages(const v1::StreamImagesRequest& request,
                                  StreamWriter<v1::StreamImagesResponse>& writer,
                                  CallContext& call) {
  v1::ListImagesRequest list;
  *list.mutable_filter() = request.filter();
  v1::ListImagesResponse all;
  RETURN_IF_ERROR(ListImages(list, &all, call));
  std::vector<std::string> items;
  for (const v1::Image& image : all.images()) items.push_back(image.SerializeAsString());
  return WriteBatches(v1::StreamImagesResponse::kImagesFieldNumber, std::move(items), writer);
}

Status ImageAdapter::ImageStatus(const v1::ImageStatusRequest& request,
                                 v1::ImageStatusResponse* response, CallContext&) {
  ASSIGN_OR_RETURN(const auto info, images_->Find(request.image().image()));
  if (!info) return absl::OkStatus();  // absent is not an error
  *response->mutable_image() = CriImage(*info);
  if (!request.verbose()) return absl::OkStatus();
  Json verbose;
  verbose["chainID"] = info->chain_ids.empty() ? "" : info->chain_ids.back();
  verbose["imageSpec"] = ParseJson(info->config_json).value_or(Json());
  (*response->mutable_info())["info"] =
      verbose.dump(-1, ' ', false, Json::error_handler_t::replace);
  return absl::OkStatus();
}

Status ImageAdapter::PullImage(const v1::PullImageRequest& request, v1::PullImageResponse* response,
                               CallContext& call) {
  ASSIGN_OR_RETURN(const image::Auth auth, AuthOf(request.auth()));
  const auto cancelled = [&call] { return call.cancelled() || absl::Now() > call.deadline(); };
  StatusOr<std::string> id = images_->Pull(request.image().image(), auth, cancelled);
  call.stages().Mark("pull");
  RETURN_IF_ERROR(id.status());
  response->set_image_ref(*id);
  return absl::OkStatus();
}

Status ImageAdapter::RemoveImage(const v1::RemoveImageRequest& request, v1::RemoveImageResponse*,
                                 CallContext&) {
  return images_->Remove(request.image().image());
}

Status ImageAdapter::ImageFsInfo(const v1::ImageFsInfoRequest&, v1::ImageFsInfoResponse* response,
                                 CallContext&) {
  ASSIGN_OR_RETURN(const image::FsUsage usage, images_->Usage());
  const auto fill = [&](v1::FilesystemUsage* out) {
    out->set_timestamp(usage.timestamp_nanos);
    out->mutable_fs_id()->set_mountpoint(usage.mountpoint);
    out->mutable_used_bytes()->set_value(usage.used_bytes);
    out->mutable_inodes_used()->set_value(usage.inodes_used);
  };
  fill(response->add_image_filesystems());
  fill(response->add_container_filesystems());
  return absl::OkStatus();
}

}  // namespace crisp::cri
