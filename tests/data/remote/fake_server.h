// A server in memory, and whatever may go wrong with one.
#ifndef LOCKSTEP_TESTS_DATA_REMOTE_FAKE_SERVER_H_
#define LOCKSTEP_TESTS_DATA_REMOTE_FAKE_SERVER_H_

#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "runtime/data/remote/http_client.h"

namespace lockstep::data {

// What the server has and has been asked; outlives the client that a store owns.
struct FakeServer {
  std::map<std::string, std::string> files;  // by URL
  std::string etag = "\"1\"";
  bool ranges = true;
  std::deque<absl::StatusOr<HttpResponse>> first;  // answers before the right ones, in their order
  std::vector<HttpRequest> requests;
  std::mutex mutex;
};

class FakeClient final : public HttpClient {
 public:
  explicit FakeClient(FakeServer* server) : server_(server) {}

  absl::StatusOr<HttpResponse> Get(const HttpRequest& request, absl::Duration /*timeout*/) override {
    std::lock_guard lock(server_->mutex);
    server_->requests.push_back(request);
    if (!server_->first.empty()) {
      auto answer = std::move(server_->first.front());
      server_->first.pop_front();
      return answer;
    }
    const auto file = server_->files.find(request.url);
    if (file == server_->files.end())
      return HttpResponse{.status = 404, .headers = {}, .body = "<Code>NoSuchKey</Code>"};
    const auto match = request.headers.find("if-match");
    if (match != request.headers.end() && match->second != server_->etag)
      return HttpResponse{.status = 412, .headers = {}, .body = ""};
    const auto range = request.headers.find("range");
    if (range == request.headers.end() || !server_->ranges)
      return Cut({.status = 200, .headers = {}, .body = file->second}, request);
    return Cut(Range(file->second, range->second), request);
  }

 private:
  static HttpResponse Cut(HttpResponse response, const HttpRequest& request) {
    response.cut = response.body.size() > request.most_bytes;
    if (response.cut) response.body.resize(request.most_bytes);
    return response;
  }
  HttpResponse Range(const std::string& bytes, absl::string_view range) const {
    absl::ConsumePrefix(&range, "bytes=");
    const std::pair<std::string, std::string> ends = absl::StrSplit(range, '-');
    uint64_t begin = 0, last = 0;
    if (!absl::SimpleAtoi(ends.first, &begin) || !absl::SimpleAtoi(ends.second, &last) ||
        begin >= bytes.size())
      return {
          .status = 416, .headers = {{"content-range", absl::StrCat("bytes */", bytes.size())}}, .body = ""};
    last = std::min<uint64_t>(last, bytes.size() - 1);
    HttpResponse response{.status = 206, .headers = {}, .body = bytes.substr(begin, last + 1 - begin)};
    response.headers["content-range"] = absl::StrCat("bytes ", begin, "-", last, "/", bytes.size());
    if (!server_->etag.empty()) response.headers["etag"] = server_->etag;
    return response;
  }

  FakeServer* const server_;
};

}  // namespace lockstep::data

#endif  // LOCKSTEP_TESTS_DATA_REMOTE_FAKE_SERVER_H_
