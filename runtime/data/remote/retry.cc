#include "runtime/data/remote/retry.h"

#include <algorithm>
#include <thread>

#include "absl/strings/numbers.h"
#include "runtime/core/clock.h"

namespace lockstep::data {
namespace {

bool WorthAnother(int status) {
  return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

// What the server asks for in seconds; dates are not understood, and then it is zero.
absl::Duration RetryAfter(const HttpResponse& response) {
  const auto header = response.headers.find("retry-after");
  int seconds = 0;
  if (header == response.headers.end() || !absl::SimpleAtoi(header->second, &seconds))
    return absl::ZeroDuration();
  return absl::Seconds(std::max(0, seconds));
}

void SleepFor(absl::Duration duration) { std::this_thread::sleep_for(absl::ToChronoNanoseconds(duration)); }

}  // namespace

absl::StatusOr<HttpResponse> GetWithRetries(HttpClient* client, const std::string& what,
                                            const std::function<HttpRequest()>& request,
                                            const RetryOptions& options) {
  const auto sleep = options.sleep ? options.sleep : SleepFor;
  absl::Duration left = options.deadline, pause = options.first_pause;
  std::string trouble;
  int attempts = 0;
  while (left > absl::ZeroDuration()) {
    const double start = MonotonicSeconds();
    absl::StatusOr<HttpResponse> response = client->Get(request(), left);
    ++attempts;
    if (response.ok() && !WorthAnother(response->status)) return response;
    absl::Duration wait = pause;
    if (response.ok()) {
      trouble = absl::StrCat("the server answers with status ", response->status);
      wait = std::max(wait, RetryAfter(*response));
    } else {
      trouble = std::string(response.status().message());
    }
    if (!response.ok() && !absl::IsUnavailable(response.status())) break;
    left -= absl::Seconds(MonotonicSeconds() - start) + wait;
    if (left <= absl::ZeroDuration()) break;
    sleep(wait);
    pause = std::min(pause * 2, options.most_pause);
  }
  return SourceError(absl::StrCat(what, " cannot be read: ", trouble, " (tried ", attempts, " times within ",
                                  absl::FormatDuration(options.deadline), ")"));
}

}  // namespace lockstep::data
