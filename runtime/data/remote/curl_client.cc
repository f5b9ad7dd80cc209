#include <curl/curl.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "runtime/data/remote/http_client.h"

namespace lockstep::data {
namespace {

constexpr long kConnectSeconds = 10, kStillSeconds = 10, kRedirections = 5;

// What the callbacks fill.
struct Answer {
  HttpResponse response;
  uint64_t most_bytes = 0;
};

size_t TakeBody(char* bytes, size_t one, size_t count, void* to) {
  auto* answer = static_cast<Answer*>(to);
  const uint64_t room = answer->most_bytes - answer->response.body.size();
  answer->response.body.append(bytes, std::min<uint64_t>(one * count, room));
  answer->response.cut = one * count > room;
  return answer->response.cut ? 0 : one * count;  // less ends the transfer
}

size_t TakeHeader(char* bytes, size_t one, size_t count, void* to) {
  auto* answer = static_cast<Answer*>(to);
  const absl::string_view line(bytes, one * count);
  if (absl::StartsWith(line, "HTTP/"))
    answer->response.headers.clear();  // another answer begins, after a redirection
  const size_t colon = line.find(':');
  if (colon != absl::string_view::npos) {
    answer->response.headers[absl::AsciiStrToLower(line.substr(0, colon))] =
        std::string(absl::StripAsciiWhitespace(line.substr(colon + 1)));
  }
  return one * count;
}

class CurlClient final : public HttpClient {
 public:
  ~CurlClient() override {
    for (CURL* handle : free_) curl_easy_cleanup(handle);
  }

  absl::StatusOr<HttpResponse> Get(const HttpRequest& request, absl::Duration timeout) override {
    CURL* handle = Take();
    if (handle == nullptr) return absl::UnavailableError("no memory for a connection");
    Answer answer;
    answer.most_bytes = request.most_bytes;
    answer.response.body.reserve(request.most_bytes);
    curl_slist* headers = nullptr;
    for (const auto& [name, value] : request.headers)
      headers = curl_slist_append(headers, absl::StrCat(name, ": ", value).c_str());
    Prepare(handle, request, timeout, headers, &answer);
    char why[CURL_ERROR_SIZE] = "";
    curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, why);
    const CURLcode code = curl_easy_perform(handle);
    long status = 0;
    curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, nullptr);
    curl_slist_free_all(headers);
    GiveBack(handle);
    answer.response.status = static_cast<int>(status);
    if (code == CURLE_OK || answer.response.cut) return std::move(answer.response);
    const char* trouble = why[0] != '\0' ? why : curl_easy_strerror(code);
    return Lasting(code) ? absl::FailedPreconditionError(trouble) : absl::UnavailableError(trouble);
  }

 private:
  // Trouble that is the same the next time.
  static bool Lasting(CURLcode code) {
    return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
           code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL ||
           code == CURLE_TOO_MANY_REDIRECTS;
  }

  static void Prepare(CURL* handle, const HttpRequest& request, absl::Duration timeout, curl_slist* headers,
                      Answer* answer) {
    curl_easy_reset(handle);  // keeps connections
    curl_easy_setopt(handle, CURLOPT_URL, request.url.c_str());
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, TakeBody);
    curl_easy_setopt(handle, CURLOPT_WRITEDATA, answer);
    curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, TakeHeader);
    curl_easy_setopt(handle, CURLOPT_HEADERDATA, answer);
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, std::max<long>(1, absl::ToInt64Milliseconds(timeout)));
    curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
    curl_easy_setopt(handle, CURLOPT_LOW_SPEED_LIMIT, 1L);  // a transfer that stands still is given up
    curl_easy_setopt(handle, CURLOPT_LOW_SPEED_TIME, kStillSeconds);
    curl_easy_setopt(handle, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(handle, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    // A signed request must not be sent on to another place.
    const bool is_signed = request.headers.count("authorization") > 0;
    curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, is_signed ? 0L : 1L);
    curl_easy_setopt(handle, CURLOPT_MAXREDIRS, kRedirections);
    for (const char* name : {"SSL_CERT_FILE", "CURL_CA_BUNDLE"}) {
      const char* file = std::getenv(name);
      if (file == nullptr || file[0] == '\0') continue;
      curl_easy_setopt(handle, CURLOPT_CAINFO, file);
      break;
    }
  }

  CURL* Take() {
    std::lock_guard lock(mutex_);
    if (free_.empty()) return curl_easy_init();
    CURL* handle = free_.back();
    free_.pop_back();
    return handle;
  }
  void GiveBack(CURL* handle) {
    std::lock_guard lock(mutex_);
    free_.push_back(handle);
  }

  std::mutex mutex_;
  std::vector<CURL*> free_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<HttpClient>> MakeHttpClient() {
  static std::once_flag once;  // libcurl's own global state, which it wants prepared once
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  return std::make_unique<CurlClient>();
}

}  // namespace lockstep::data
