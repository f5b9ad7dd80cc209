// Built where libcurl is missing.
#include "runtime/data/remote/http_client.h"

namespace lockstep::data {

absl::StatusOr<std::unique_ptr<HttpClient>> MakeHttpClient() {
  return ConfigError(
      "records on servers cannot be read: this lockstep was built without libcurl (install "
      "libcurl4-openssl-dev and build again)");
}

}  // namespace lockstep::data
