// An OCI image layout directory as a source. Source: OCI image-spec 1.1 image-layout.md.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "imageservice/blob_source.h"
#include "runtime/sys/fd.h"

namespace crisp::image {

class OciLayout : public BlobSource {
 public:
  static StatusOr<std::unique_ptr<OciLayout>> Open(const std::string& directory);
  StatusOr<FetchedDocument> Manifest(const std::string& digest) override;
  Status Stream(const Descriptor& blob, const ByteSink& sink) override;

  // Digest of the document that index.json points to for this machine.
  StatusOr<std::string> RootDigest();

 private:
  StatusOr<UniqueFd> OpenBlob(const std::string& digest);
  UniqueFd directory_;
  std::string root_type_;
};

}  // namespace crisp::image
