// One HTTP GET. Made by libcurl, or by a stub where the library was built without it.
#ifndef LOCKSTEP_RUNTIME_DATA_REMOTE_HTTP_CLIENT_H_
#define LOCKSTEP_RUNTIME_DATA_REMOTE_HTTP_CLIENT_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "runtime/core/status.h"

namespace lockstep::data {

struct HttpRequest {
  std::string url;
  std::map<std::string, std::string> headers;  // lower-case names
  uint64_t most_bytes = 0;                     // of the body: what is longer is cut
};

struct HttpResponse {
  int status = 0;                              // 206, 404, ...
  std::map<std::string, std::string> headers;  // lower-case names, of the last answer after redirections
  std::string body;
  bool cut = false;  // the body was longer than most_bytes, and has only so much
};

// Thread-safe. Connections are kept for later requests.
class HttpClient {
 public:
  virtual ~HttpClient() = default;
  // Any answer is one, also 404. Errors: Unavailable where there was none, or not a whole one, within `timeout`; FailedPrecondition
  // where there will be none the next time either (a certificate that nobody vouches for). Messages name no address: whoever
  // asks knows it, and what of it may be shown.
  virtual absl::StatusOr<HttpResponse> Get(const HttpRequest& request, absl::Duration timeout) = 0;
};

// TLS certificates are checked, against the file SSL_CERT_FILE or CURL_CA_BUNDLE where one of these is set. http_proxy,
// https_proxy and no_proxy are obeyed. Error: ConfigError where the library was built without libcurl.
absl::StatusOr<std::unique_ptr<HttpClient>> MakeHttpClient();

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_REMOTE_HTTP_CLIENT_H_
