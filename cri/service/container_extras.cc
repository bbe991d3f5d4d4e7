#include "cri/service/container_extras.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "runtime/base/log.h"
#include "runtime/container/image_volume.h"

namespace crisp::cri {
namespace {

constexpr char kCdiAnnotation[] = "cdi.k8s.io/";

void AddPin(std::shared_ptr<void> pin, Container* container) {
  using Pins = std::vector<std::shared_ptr<void>>;
  container->image_pin = std::make_shared<Pins>(Pins{container->image_pin, std::move(pin)});
}

std::vector<std::string> CdiNames(const v1::ContainerConfig& config) {
  std::vector<std::string> names;
  for (const v1::CDIDevice& device : config.cdi_devices()) names.push_back(device.name());
  for (const auto& [key, value] : config.annotations()) {
    if (!absl::StartsWith(key, kCdiAnnotation)) continue;
    for (const absl::string_view name : absl::StrSplit(value, ',')) {
      names.emplace_back(absl::StripAsciiWhitespace(name));
    }
  }
  return names;
}

}  // namespace

Status AcquireVolumes(image::ImageService& images, Container* container) {
  for (const v1::Mount& mount : container->config.mounts()) {
    if (!IsImageMount(mount)) continue;
    StatusOr<image::ImageHandle> image = images.Acquire(mount.image().image());
    if (!image.ok()) {
      return AnnotateText(image.status(), absl::StrCat(runtime::kImageVolumeError, "mount image ",
                                                       mount.image().image()));
    }
    container->volume_images.push_back(ImageRecord(*image));
    AddPin(image->pin, container);
  }
  return absl::OkStatus();
}

std::shared_ptr<void> PinAgain(image::ImageService& images, const records::Image& record) {
  if (auto image = images.Acquire(record.id()); image.ok()) return image->pin;
  auto held = images.Hold({record.lower_dirs().begin(), record.lower_dirs().end()});
  if (held.ok()) return *held;
  LogWarning("layers of a container are gone",
             {{"image", record.id()}, {"error", held.status().ToString()}});
  return nullptr;
}

void PinVolumesAgain(image::ImageService& images, Container* container) {
  for (const records::Image& record : container->volume_images) {
    AddPin(PinAgain(images, record), container);
  }
}

Status ResolveCdiDevices(const std::vector<std::string>& dirs, Container* container) {
  const std::vector<std::string> names = CdiNames(container->config);
  if (names.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const CdiEdits edits, ResolveCdi(dirs, names));
  container->cdi_edits = CdiEditsToJson(edits);
  return absl::OkStatus();
}

Status FillExtras(const Container& container, TranslateInput* input) {
  for (const records::Image& image : container.volume_images) {
    input->volume_layers.emplace_back(image.lower_dirs().begin(), image.lower_dirs().end());
  }
  if (container.cdi_edits.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(input->cdi, CdiEditsFromJson(container.cdi_edits));
  return absl::OkStatus();
}

void FillStatusMounts(const Container& container, v1::ContainerStatus* status) {
  *status->mutable_mounts() = container.config.mounts();
  int volume = 0;
  for (v1::Mount& mount : *status->mutable_mounts()) {
    if (!IsImageMount(mount) || volume >= static_cast<int>(container.volume_images.size()))
      continue;
    mount.mutable_image()->set_image_ref(container.volume_images[volume++].reference());
  }
}

}  // namespace crisp::cri
