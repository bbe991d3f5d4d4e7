// Pulls from a real registry: Debian's docker-registry on a loopback port, with its own
// configuration and storage. The images are put into its storage as its own format has them.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "fixture.h"
#include "imageservice/content/digest.h"
#include "runtime/base/stages.h"

namespace crisp::image {
namespace {

constexpr char kProgram[] = "/usr/bin/docker-registry";

bool Never() { return false; }

class RealRegistry {
 public:
  explicit RealRegistry(bool tls = false) : port_(FreePort()) {
    if (tls) MakeCertificate();
    const std::string config = temp_.Sub("config.yml");
    WriteText(config, absl::StrCat("version: 0.1\nlog: {level: error}\nstorage:\n  filesystem: "
                                   "{rootdirectory: ",
                                   temp_.Sub("data"), "}\nhttp:\n  addr: \"", host(), "\"\n",
                                   tls ? absl::StrCat("  tls: {certificate: ", certificate(),
                                                      ", key: ", temp_.Sub("key.pem"), "}\n")
                                       : ""));
    std::string arguments[] = {kProgram, "serve", config};
    char* argv[] = {arguments[0].data(), arguments[1].data(), arguments[2].data(), nullptr};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 2, temp_.Sub("log").c_str(),
                                     O_WRONLY | O_CREAT | O_APPEND, 0600);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    EXPECT_EQ(posix_spawn(&pid_, kProgram, &actions, nullptr, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    const int64_t end = MonotonicNanos() + 20'000'000'000;
    while (!Answers() && MonotonicNanos() < end) sched_yield();
    EXPECT_TRUE(Answers()) << ReadText(temp_.Sub("log"));
  }
  ~RealRegistry() { Stop(); }
  void Stop() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

  std::string certificate() const { return temp_.Sub("cert.pem"); }
  std::string host() const { return absl::StrCat("127.0.0.1:", port_); }

  void AddBlob(const std::string& repository, const std::string& blob) {
    const std::string hex = HexOf(DigestOf(blob));
    const std::string data = absl::StrCat(Root(), "blobs/sha256/", hex.substr(0, 2), "/", hex);
    std::filesystem::create_directories(data);
    WriteText(data + "/data", blob);
    Link(repository, "_layers/sha256/" + hex, DigestOf(blob));
  }
  void AddManifest(const std::string& repository, const std::string& tag,
                   const std::string& manifest) {
    AddBlob(repository, manifest);
    const std::string hex = HexOf(DigestOf(manifest));
    Link(repository, "_manifests/revisions/sha256/" + hex, DigestOf(manifest));
    if (tag.empty()) return;
    Link(repository, absl::StrCat("_manifests/tags/", tag, "/current"), DigestOf(manifest));
    Link(repository, absl::StrCat("_manifests/tags/", tag, "/index/sha256/", hex),
         DigestOf(manifest));
  }
  void Add(const std::string& repository, const std::string& tag, const TestImage& image) {
    for (const std::string& blob : image.blobs) AddBlob(repository, blob);
    AddBlob(repository, image.config);
    AddManifest(repository, tag, image.manifest);
  }

 private:
  void MakeCertificate() {
    const std::string command = absl::StrCat(
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=crisp-test -addext "
        "subjectAltName=IP:127.0.0.1 -keyout ",
        temp_.Sub("key.pem"), " -out ", certificate(), " 2>/dev/null");
    EXPECT_EQ(system(command.c_str()), 0) << command;
  }
  std::string Root() const { return temp_.Sub("data/docker/registry/v2/"); }
  void Link(const std::string& repository, const std::string& path, const std::string& digest) {
    const std::string folder = absl::StrCat(Root(), "repositories/", repository, "/", path);
    std::filesystem::create_directories(folder);
    WriteText(folder + "/link", digest);
  }
  static sockaddr_in Loopback(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(port));
    return address;
  }
  static int FreePort() {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = Loopback(0);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
    getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
    close(fd);
    return ntohs(address.sin_port);
  }
  bool Answers() const {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = Loopback(port_);
    const bool answers =
        connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
    close(fd);
    return answers;
  }

  TempDir temp_;
  int port_;
  pid_t pid_ = -1;
};

class RegistryTest : public testing::Test {
 protected:
  void SetUp() override {
    if (access(kProgram, X_OK) != 0) GTEST_SKIP() << kProgram << " is not installed";
    registry_ = std::make_unique<RealRegistry>();
  }
  StatusOr<std::string> Pull(const std::string& name) {
    return service_->Pull(registry_->host() + "/" + name, {}, Never);
  }

  TempDir temp_;
  std::unique_ptr<RealRegistry> registry_;
  std::unique_ptr<ImageService> service_ = OpenService(temp_.Sub("images"));
};

TEST_F(RegistryTest, TagsDigestsListsAndCompressions) {
  const TestImage docker =
      MakeImage({{TarBuilder().File("base", "b").End()}, {TarBuilder().File("top", "t").End()}},
                R"({"User":"1000"})", true);
  const TestImage oci = MakeImage(
      {{TarBuilder().File("base", "b").End()}, {TarBuilder().File("zst", "z").End(), "zstd"}});
  registry_->Add("team/docker", "v1", docker);
  registry_->Add("team/oci", "v1", oci);
  const std::string list = absl::StrCat(
      R"({"schemaVersion":2,"mediaType":)",
      R"("application/vnd.docker.distribution.manifest.list.v2+json","manifests":[{"mediaType":)",
      R"("application/vnd.docker.distribution.manifest.v2+json","size":)", docker.manifest.size(),
      R"(,"digest":")", DigestOf(docker.manifest),
      R"(","platform":{"architecture":"amd64","os":"linux"}}]})");
  registry_->AddManifest("team/docker", "multi", list);

  const auto first = Pull("team/docker:v1");
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(*first, DigestOf(docker.config));
  const auto second = Pull("team/docker:multi");
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(*second, *first);
  const auto third = Pull("team/oci@" + DigestOf(oci.manifest));
  ASSERT_TRUE(third.ok()) << third.status();

  const auto info = *service_->Find(*first);
  EXPECT_EQ(info->repo_tags.size(), 2U);
  EXPECT_EQ(info->repo_digests.size(), 2U) << "the manifest's and the list's";
  EXPECT_EQ(info->config.user, "1000");
  const auto handle = service_->Acquire(*third);
  ASSERT_TRUE(handle.ok());
  EXPECT_EQ(ReadText(handle->lower_dirs[0] + "/zst"), "z");
  EXPECT_EQ(ReadText(handle->lower_dirs[1] + "/base"), "b");
  EXPECT_EQ(handle->lower_dirs[1], service_->Acquire(*first)->lower_dirs[1]) << "shared";
  EXPECT_EQ(Pull("team/docker:absent").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Pull("team/none:v1").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(RegistryTest, ManyLayersInParallel) {
  std::vector<TestLayer> layers;
  for (int i = 0; i < 12; ++i) {
    layers.push_back(
        {TarBuilder()
             .File(absl::StrCat("f", i), std::string(1 << 20, static_cast<char>('a' + i)))
             .End(),
         i % 2 == 0 ? "gzip" : "zstd"});
  }
  registry_->Add("many", "latest", MakeImage(layers));
  const auto id = Pull("many");
  ASSERT_TRUE(id.ok()) << id.status();
  const auto handle = service_->Acquire(*id);
  ASSERT_EQ(handle->lower_dirs.size(), 12U);
  for (size_t i = 0; i < 12; ++i) {
    EXPECT_TRUE(Exists(absl::StrCat(handle->lower_dirs[11 - i], "/f", i)));
  }
}

TEST_F(RegistryTest, TlsNeedsATrustedCertificate) {
  RealRegistry registry(/*tls=*/true);
  TempDir temp;
  registry.Add("app", "latest", MakeImage({{TarBuilder().File("f", "1").End()}}));
  const auto pull = [&](const RegistryHost& host) {
    ImageOptions options = OptionsFor(temp.Sub("images"));
    options.registries[registry.host()] = host;
    auto service = ImageService::Open(options);
    EXPECT_TRUE(service.ok()) << service.status();
    return (*service)->Pull(registry.host() + "/app", {}, Never).status();
  };
  RegistryHost host;
  host.endpoint = "https://" + registry.host();
  const Status untrusted = pull(host);
  EXPECT_EQ(untrusted.code(), absl::StatusCode::kFailedPrecondition) << untrusted;
  host.ca_file = registry.certificate();
  EXPECT_TRUE(pull(host).ok()) << pull(host);
  host.ca_file.clear();
  host.skip_verify = true;
  EXPECT_TRUE(pull(host).ok()) << pull(host);
  EXPECT_FALSE(pull({}).ok()) << "plain HTTP to a TLS port";
}

TEST_F(RegistryTest, GoneRegistryIsUnavailable) {
  registry_->Stop();
  const auto id = Pull("team/app:v1");
  EXPECT_EQ(id.status().code(), absl::StatusCode::kUnavailable) << id.status();
}

}  // namespace
}  // namespace crisp::image
