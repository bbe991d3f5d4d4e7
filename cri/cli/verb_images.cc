#include "cri/cli/output.h"
#include "cri/cli/verb.h"
#include "runtime/base/stages.h"

namespace crisp::cli {
namespace {

// "docker.io/library/busybox", "1.36"; without a tag the digest's repository and "<none>".
std::pair<std::string, std::string> RepositoryAndTag(const std::string& reference) {
  const size_t at = reference.find('@');
  if (at != std::string::npos) return {reference.substr(0, at), "<none>"};
  const size_t colon = reference.rfind(':');
  const size_t slash = reference.rfind('/');
  if (colon == std::string::npos || (slash != std::string::npos && colon < slash))
    return {reference, "<none>"};
  return {reference.substr(0, colon), reference.substr(colon + 1)};
}

void AddRow(const v1::Image& image, const std::string& reference, Table* table) {
  const auto [repository, tag] = RepositoryAndTag(reference);
  table->Add(
      {repository, tag, ShortId(image.id()), Size(image.size()), image.pinned() ? "yes" : ""});
}

}  // namespace

StatusOr<int> RunPull(const Invocation& call) {
  ASSIGN_OR_RETURN(const auto client, ConnectFor(call));
  for (const std::string& image : call.args) {
    v1::PullImageRequest request;
    request.mutable_image()->set_image(image);
    const int64_t start = MonotonicNanos();
    ASSIGN_OR_RETURN(const auto response, client->PullImage(request, absl::InfiniteDuration()));
    Print(absl::StrCat(image, " ", response.image_ref(), " in ",
                       (MonotonicNanos() - start) / 1'000'000, " ms\n"));
  }
  return 0;
}

StatusOr<int> RunImages(const Invocation& call) {
  ASSIGN_OR_RETURN(const auto client, ConnectFor(call));
  ASSIGN_OR_RETURN(const auto response, client->ListImages({}));
  if (call.json()) {
    Print(JsonText(response));
    return 0;
  }
  Table table({"IMAGE", "TAG", "ID", "SIZE", "PINNED"});
  for (const v1::Image& image : response.images()) {
    if (call.Has("quiet")) Print(image.id() + "\n");
    for (const std::string& tag : image.repo_tags()) AddRow(image, tag, &table);
    if (image.repo_tags().empty())
      AddRow(image, image.repo_digests().empty() ? "<none>" : image.repo_digests(0), &table);
  }
  if (!call.Has("quiet")) Print(table.Text());
  return 0;
}

StatusOr<int> RunRemoveImage(const Invocation& call) {
  ASSIGN_OR_RETURN(const auto client, ConnectFor(call));
  for (const std::string& image : call.args) {
    v1::ImageStatusRequest status;
    status.mutable_image()->set_image(image);
    ASSIGN_OR_RETURN(const auto found, client->ImageStatus(status));
    if (!found.has_image())
      return absl::NotFoundError(absl::StrCat("no image \"", Printable(image), "\""));
    v1::RemoveImageRequest request;
    request.mutable_image()->set_image(image);
    RETURN_IF_ERROR(client->RemoveImage(request).status());
    Print(image + "\n");
  }
  return 0;
}

}  // namespace crisp::cli
