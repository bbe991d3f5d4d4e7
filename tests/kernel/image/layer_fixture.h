// One layer through the whole service, and what must hold for every hostile one.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "fixture.h"

namespace crisp::image {

class LayerFixture : public testing::Test {
 protected:
  LayerFixture();

  // Unpacks it as the only layer of an image; the directory, or why not.
  StatusOr<std::string> Unpack(const std::string& tar, const std::string& compression = "none");
  // Refused as the layer's fault, naming `text`; nothing stays.
  void ExpectRefused(const std::string& tar, const std::string& text = "",
                     const std::string& compression = "none");
  // Several layers, top first.
  StatusOr<std::vector<std::string>> UnpackAll(const std::vector<std::string>& tars);
  // The host's files beside the store are as they were.
  void ExpectHostUntouched();

  TempDir temp_;
  std::string canary_ = temp_.Sub("host/canary");
  std::unique_ptr<ImageService> service_ = OpenService(temp_.Sub("images"));
  ImageHandle handle_;  // keeps what Unpack returned
};

std::string Xattr(const std::string& path, const std::string& name);  // "" if absent

}  // namespace crisp::image
