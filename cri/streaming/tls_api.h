// libssl by dlopen: the library and its relocations stay out of a daemon whose listener is plain.
#pragma once

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <memory>

#include "runtime/base/status.h"

namespace crisp::streaming {

// The functions behind the macros of ssl.h stand under their own names. `err_*` must be those of
// the library's own libcrypto: ours is linked in statically and knows nothing of its errors.
struct TlsApi {
  decltype(&::TLS_server_method) server_method = nullptr;
  decltype(&::TLS_client_method) client_method = nullptr;
  decltype(&::SSL_CTX_new) ctx_new = nullptr;
  decltype(&::SSL_CTX_free) ctx_free = nullptr;
  decltype(&::SSL_CTX_ctrl) ctx_ctrl = nullptr;
  decltype(&::SSL_CTX_set_options) ctx_set_options = nullptr;
  decltype(&::SSL_CTX_set_cipher_list) ctx_set_cipher_list = nullptr;
  decltype(&::SSL_CTX_set_num_tickets) ctx_set_num_tickets = nullptr;
  decltype(&::SSL_CTX_set_default_passwd_cb) ctx_set_default_passwd_cb = nullptr;
  decltype(&::SSL_CTX_use_certificate_chain_file) ctx_use_certificate_chain_file = nullptr;
  decltype(&::SSL_CTX_use_PrivateKey_file) ctx_use_private_key_file = nullptr;
  decltype(&::SSL_CTX_check_private_key) ctx_check_private_key = nullptr;
  decltype(&::SSL_CTX_load_verify_locations) ctx_load_verify_locations = nullptr;
  decltype(&::SSL_CTX_set_client_CA_list) ctx_set_client_ca_list = nullptr;
  decltype(&::SSL_load_client_CA_file) load_client_ca_file = nullptr;
  decltype(&::SSL_CTX_set_verify) ctx_set_verify = nullptr;
  decltype(&::SSL_new) ssl_new = nullptr;
  decltype(&::SSL_free) ssl_free = nullptr;
  decltype(&::SSL_set_fd) set_fd = nullptr;
  decltype(&::SSL_accept) accept = nullptr;
  decltype(&::SSL_connect) connect = nullptr;
  decltype(&::SSL_CTX_set_default_verify_paths) ctx_set_default_verify_paths = nullptr;
  decltype(&::SSL_get0_param) get0_param = nullptr;
  decltype(&::X509_VERIFY_PARAM_set1_ip_asc) verify_param_set1_ip_asc = nullptr;
  decltype(&::SSL_set1_host) set1_host = nullptr;
  decltype(&::SSL_get_verify_result) get_verify_result = nullptr;
  decltype(&::X509_verify_cert_error_string) verify_cert_error_string = nullptr;
  decltype(&::SSL_read) read = nullptr;
  decltype(&::SSL_write) write = nullptr;
  decltype(&::SSL_shutdown) shutdown = nullptr;
  decltype(&::SSL_get_error) get_error = nullptr;
  decltype(&::ERR_get_error) err_get_error = nullptr;
  decltype(&::ERR_clear_error) err_clear_error = nullptr;
  decltype(&::ERR_error_string_n) err_error_string_n = nullptr;
};

struct FreeSsl {
  const TlsApi* api = nullptr;
  void operator()(SSL* ssl) const { api->ssl_free(ssl); }
};
using SslPtr = std::unique_ptr<SSL, FreeSsl>;

// Loaded once; FAILED_PRECONDITION names the missing library.
StatusOr<const TlsApi*> LoadTls();

}  // namespace crisp::streaming
