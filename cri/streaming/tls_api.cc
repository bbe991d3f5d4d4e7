#include "cri/streaming/tls_api.h"

#include <dlfcn.h>

#include <mutex>

namespace crisp::streaming {
namespace {

constexpr char kLibrary[] = "libssl.so.3";

template <typename Function>
bool Find(void* library, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(library, name));
  return *function != nullptr;
}

bool FindContext(void* library, TlsApi* api) {
  return Find(library, "TLS_server_method", &api->server_method) &&
         Find(library, "SSL_CTX_new", &api->ctx_new) &&
         Find(library, "SSL_CTX_free", &api->ctx_free) &&
         Find(library, "SSL_CTX_ctrl", &api->ctx_ctrl) &&
         Find(library, "SSL_CTX_set_options", &api->ctx_set_options) &&
         Find(library, "SSL_CTX_set_cipher_list", &api->ctx_set_cipher_list) &&
         Find(library, "SSL_CTX_set_num_tickets", &api->ctx_set_num_tickets) &&
         Find(library, "SSL_CTX_set_default_passwd_cb", &api->ctx_set_default_passwd_cb) &&
         Find(library, "SSL_CTX_use_certificate_chain_file",
              &api->ctx_use_certificate_chain_file) &&
         Find(library, "SSL_CTX_use_PrivateKey_file", &api->ctx_use_private_key_file) &&
         Find(library, "SSL_CTX_check_private_key", &api->ctx_check_private_key) &&
         Find(library, "SSL_CTX_load_verify_locations", &api->ctx_load_verify_locations) &&
         Find(library, "SSL_CTX_set_client_CA_list", &api->ctx_set_client_ca_list) &&
         Find(library, "SSL_load_client_CA_file", &api->load_client_ca_file) &&
         Find(library, "SSL_CTX_set_verify", &api->ctx_set_verify);
}

bool FindConnection(void* library, TlsApi* api) {
  return Find(library, "SSL_new", &api->ssl_new) && Find(library, "SSL_free", &api->ssl_free) &&
         Find(library, "SSL_set_fd", &api->set_fd) && Find(library, "SSL_accept", &api->accept) &&
         Find(library, "SSL_read", &api->read) && Find(library, "SSL_write", &api->write) &&
         Find(library, "SSL_shutdown", &api->shutdown) &&
         Find(library, "SSL_get_error", &api->get_error) &&
         Find(library, "ERR_get_error", &api->err_get_error) &&
         Find(library, "ERR_clear_error", &api->err_clear_error) &&
         Find(library, "ERR_error_string_n", &api->err_error_string_n);
}

bool FindClient(void* library, TlsApi* api) {
  return Find(library, "TLS_client_method", &api->client_method) &&
         Find(library, "SSL_connect", &api->connect) &&
         Find(library, "SSL_CTX_set_default_verify_paths", &api->ctx_set_default_verify_paths) &&
         Find(library, "SSL_get0_param", &api->get0_param) &&
         Find(library, "X509_VERIFY_PARAM_set1_ip_asc", &api->verify_param_set1_ip_asc) &&
         Find(library, "SSL_set1_host", &api->set1_host) &&
         Find(library, "SSL_get_verify_result", &api->get_verify_result) &&
         Find(library, "X509_verify_cert_error_string", &api->verify_cert_error_string);
}

Status Load(TlsApi* api) {
  void* library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* reason = dlerror();
    return absl::FailedPreconditionError(absl::StrCat("load ", kLibrary, ": ", reason));
  }
  if (!FindContext(library, api) || !FindConnection(library, api) || !FindClient(library, api))
    return absl::FailedPreconditionError(absl::StrCat(kLibrary, ": too old"));
  return absl::OkStatus();
}

}  // namespace

StatusOr<const TlsApi*> LoadTls() {
  static std::mutex mutex;
  static TlsApi api;
  static bool loaded = false;
  const std::lock_guard<std::mutex> lock(mutex);
  if (!loaded) RETURN_IF_ERROR(Load(&api));
  loaded = true;
  return &api;
}

}  // namespace crisp::streaming
