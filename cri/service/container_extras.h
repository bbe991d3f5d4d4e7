// What a container takes from beyond its own image: images as volumes, CDI devices.
#pragma once

#include "cri/pods/pod.h"
#include "cri/translate/container_spec.h"
#include "imageservice/image_service.h"

namespace crisp::cri {

records::Image ImageRecord(const image::ImageHandle& handle);  // container_create.cc

// The layers that a container runs from, pinned again after a restart; from the record, where the
// image was removed meanwhile. Null: they are gone.
std::shared_ptr<void> PinAgain(image::ImageService& images, const records::Image& record);

// The images of the container's image mounts: records for the journal, pins beside its own image's.
// The error begins with what the kubelet recognises.
Status AcquireVolumes(image::ImageService& images, Container* container);
// The same after a restart.
void PinVolumesAgain(image::ImageService& images, Container* container);

// The edits of the CDI devices that the request names, in its field or in annotations
// "cdi.k8s.io/*".
Status ResolveCdiDevices(const std::vector<std::string>& dirs, Container* container);

// Both, for the translation.
Status FillExtras(const Container& container, TranslateInput* input);

// The request's mounts as ContainerStatus shows them: image volumes with the digest in use.
void FillStatusMounts(const Container& container, v1::ContainerStatus* status);

}  // namespace crisp::cri
