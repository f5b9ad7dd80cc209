// Asking again where the answer may be another one the next time.
#ifndef LOCKSTEP_RUNTIME_DATA_REMOTE_RETRY_H_
#define LOCKSTEP_RUNTIME_DATA_REMOTE_RETRY_H_

#include <functional>
#include <string>

#include "absl/time/time.h"
#include "runtime/core/status.h"
#include "runtime/data/remote/http_client.h"

namespace lockstep::data {

struct RetryOptions {
  absl::Duration deadline = absl::Seconds(60);  // of a read, all attempts and pauses together
  absl::Duration first_pause = absl::Milliseconds(100);
  absl::Duration most_pause = absl::Seconds(5);
  std::function<void(absl::Duration)> sleep = {};  // for tests; empty: the real one
};

// No connection, no whole answer, 408, 429, 500, 502, 503 and 504 are asked again after a pause, which doubles, or lasts as long as the
// server's Retry-After says; any other answer is returned. `request` is called for each attempt, since signatures age. Error: SourceError naming
// `what`, how often it was tried, and the last trouble.
absl::StatusOr<HttpResponse> GetWithRetries(HttpClient* client, const std::string& what,
                                            const std::function<HttpRequest()>& request,
                                            const RetryOptions& options);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_REMOTE_RETRY_H_
