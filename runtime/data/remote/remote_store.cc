#include "runtime/data/remote/remote_store.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "runtime/core/hash.h"

namespace lockstep::data {
namespace {

// The first request of a file brings so much of it: all of a small one.
constexpr uint64_t kHeadBytes = uint64_t{64} << 10;
constexpr uint64_t kLeastAnswerBytes = uint64_t{64} << 10;  // room for what a server says of an error
constexpr uint64_t kMostListBytes = uint64_t{16} << 20;     // of a thousand keys

std::string HeaderOf(const HttpResponse& response, const std::string& name) {
  const auto at = response.headers.find(name);
  return at == response.headers.end() ? "" : at->second;
}

// "bytes 0-99/1234" or "bytes */0".
struct ContentRange {
  uint64_t begin = 0, end = 0, size_bytes = 0;  // the end is behind the last byte
};
std::optional<ContentRange> ParseContentRange(absl::string_view text) {
  ContentRange range;
  if (!absl::ConsumePrefix(&text, "bytes ")) return std::nullopt;
  const std::pair<absl::string_view, absl::string_view> halves =
      absl::StrSplit(text, absl::MaxSplits('/', 1));
  if (!absl::SimpleAtoi(halves.second, &range.size_bytes)) return std::nullopt;
  if (halves.first == "*") return range;
  const std::pair<absl::string_view, absl::string_view> ends =
      absl::StrSplit(halves.first, absl::MaxSplits('-', 1));
  uint64_t last = 0;
  if (!absl::SimpleAtoi(ends.first, &range.begin) || !absl::SimpleAtoi(ends.second, &last) ||
      last < range.begin || last >= range.size_bytes)
    return std::nullopt;
  range.end = last + 1;
  return range;
}

// What stands between <Code> and </Code> of an answer of S3: "NoSuchKey", "SignatureDoesNotMatch"; else "".
std::string S3Code(absl::string_view body) {
  const size_t begin = body.find("<Code>"), end = body.find("</Code>");
  if (begin == absl::string_view::npos || end == absl::string_view::npos || end < begin || end - begin > 100)
    return "";
  return std::string(body.substr(begin + 6, end - begin - 6));
}

absl::Status AnswerError(const std::string& shown, const HttpResponse& response) {
  const std::string code = S3Code(response.body);
  const std::string status = absl::StrCat("the server answers with status ", response.status,
                                          code.empty() ? "" : absl::StrCat(" (", code, ")"));
  if (response.status == 404 || response.status == 410)
    return absl::NotFoundError(absl::StrCat("no such file: ", shown, ": ", status));
  if (response.status == 401 || response.status == 403) {
    return absl::PermissionDeniedError(absl::StrCat(
        shown, " may not be read: ", status,
        absl::StartsWith(shown, "s3://") ? "; are the credentials (AWS_ACCESS_KEY_ID, ~/.aws/credentials, "
                                           "AWS_PROFILE) and the region right?"
                                         : ""));
  }
  return DataError(absl::StrCat(shown, " cannot be read: ", status));
}

std::string DateTimeNow() { return absl::FormatTime("%Y%m%dT%H%M%SZ", absl::Now(), absl::UTCTimeZone()); }

// The host as it is sent: without the port that the scheme has anyway.
std::string HostHeader(const std::string& scheme, absl::string_view host) {
  absl::ConsumeSuffix(&host, scheme == "https" ? ":443" : ":80");
  return std::string(host);
}

}  // namespace

struct RemoteStore::Target {
  std::string shown;         // for people
  std::string scheme, host;  // where requests go
  std::string path;          // of S3: not encoded; else as it is written
  std::string query;         // as it is written
  std::vector<std::pair<std::string, std::string>> s3_query;
  bool s3 = false;

  std::string Address() const { return absl::StrCat(scheme, "://", host, path, "?", query); }
};

RemoteStore::RemoteStore(FileSystem* local, RemoteOptions options, std::unique_ptr<HttpClient> client)
    : local_(local), options_(std::move(options)), client_(std::move(client)) {}

absl::Status RemoteStore::Prepare() {
  std::lock_guard lock(mutex_);
  if (prepared_) return absl::OkStatus();
  if (client_ == nullptr) {
    ASSIGN_OR_RETURN(client_, MakeHttpClient());
  }
  if (!options_.cache_folder.empty() && cache_ == nullptr) {
    ASSIGN_OR_RETURN(cache_, BlockCache::Open(options_.cache_folder, options_.cache_bytes));
  }
  prepared_ = true;
  return absl::OkStatus();
}

std::shared_ptr<BlockCache> RemoteStore::cache() {
  std::lock_guard lock(mutex_);
  return cache_;
}

absl::StatusOr<RemoteStore::Target> RemoteStore::TargetOf(const std::string& text) {
  RETURN_IF_ERROR(Prepare());
  ASSIGN_OR_RETURN(const Url url, ParseUrl(text));
  Target target;
  target.shown = ShowUrl(text);
  target.s3 = url.scheme == "s3";
  target.scheme = url.scheme;
  target.host = url.host;
  target.path = url.path;
  target.query = url.query;
  if (!target.s3) return target;
  std::lock_guard lock(mutex_);
  if (!aws_.has_value()) {
    ASSIGN_OR_RETURN(aws_, LoadAwsConfig(local_, options_.variable));
  }
  target.scheme = "https";
  if (!aws_->endpoint.empty()) {
    ASSIGN_OR_RETURN(const Url endpoint, ParseUrl(aws_->endpoint));
    target.scheme = endpoint.scheme;
    target.host = endpoint.host;
    target.path = absl::StrCat(endpoint.path == "/" ? "" : endpoint.path, "/", url.host, url.path);
  } else if (absl::StrContains(url.host, '.')) {  // no certificate fits a name with more dots
    target.host = absl::StrCat("s3.", aws_->region, ".amazonaws.com");
    target.path = absl::StrCat("/", url.host, url.path);
  } else {
    target.host = absl::StrCat(url.host, ".s3.", aws_->region, ".amazonaws.com");
  }
  return target;
}

HttpRequest RemoteStore::RequestTo(const Target& target, std::map<std::string, std::string> headers,
                                   uint64_t most_bytes) const {
  HttpRequest request;
  request.most_bytes = std::max(most_bytes, kLeastAnswerBytes);
  if (!target.s3) {
    request.url = absl::StrCat(target.scheme, "://", target.host, target.path,
                               target.query.empty() ? "" : "?", target.query);
    request.headers = std::move(headers);
    return request;
  }
  const std::string query = absl::StrJoin(target.s3_query, "&", [](std::string* out, const auto& field) {
    absl::StrAppend(out, PercentEncode(field.first, false), "=", PercentEncode(field.second, false));
  });
  request.url = absl::StrCat(target.scheme, "://", target.host, PercentEncode(target.path, true),
                             query.empty() ? "" : "?", query);
  if (!aws_->keys.empty()) {
    SigningScope scope{aws_->region, "s3", DateTimeNow()};
    headers["host"] = HostHeader(target.scheme, target.host);
    headers["x-amz-date"] = scope.date_time;
    headers["x-amz-content-sha256"] = kEmptySha256;
    if (!aws_->keys.token.empty()) headers["x-amz-security-token"] = aws_->keys.token;
    const SignedRequest to_sign{"GET", target.path, target.s3_query, headers, kEmptySha256};
    headers["authorization"] = Authorization(to_sign, scope, aws_->keys);
  }
  request.headers = std::move(headers);
  return request;
}

absl::StatusOr<HttpResponse> RemoteStore::Ask(const Target& target,
                                              const std::map<std::string, std::string>& headers,
                                              uint64_t most_bytes) {
  return GetWithRetries(
      client_.get(), target.shown, [&] { return RequestTo(target, headers, most_bytes); }, options_.retry);
}

// ---- Files

class RemoteFile final : public ReadableFile {
 public:
  static absl::StatusOr<std::unique_ptr<ReadableFile>> Open(std::shared_ptr<RemoteStore> store,
                                                            RemoteStore::Target target) {
    std::unique_ptr<RemoteFile> file(new RemoteFile(std::move(store), std::move(target)));
    ASSIGN_OR_RETURN(
        HttpResponse response,
        file->store_->Ask(file->target_, {{"range", absl::StrCat("bytes=0-", kHeadBytes - 1)}}, kHeadBytes));
    const auto range = ParseContentRange(HeaderOf(response, "content-range"));
    if (response.status == 416 && range.has_value() && range->size_bytes == 0)
      return std::unique_ptr<ReadableFile>(std::move(file));
    if (response.status == 200) {
      return DataError(absl::StrCat(file->target_.shown,
                                    " cannot be read in pieces: the server does not answer range requests"));
    }
    if (response.status != 206) return AnswerError(file->target_.shown, response);
    if (!range.has_value() || range->begin != 0 || response.body.size() != range->end)
      return file->WrongRange(response);
    file->size_bytes_ = range->size_bytes;
    file->etag_ = HeaderOf(response, "etag");
    const std::string identity = absl::StrCat(file->etag_, "\n", HeaderOf(response, "last-modified"));
    if (identity.size() > 1)
      file->key_ = Sha256Hex(absl::StrCat(file->target_.Address(), "\n", identity, "\n", file->size_bytes_));
    file->head_ = std::move(response.body);
    return std::unique_ptr<ReadableFile>(std::move(file));
  }

  uint64_t size_bytes() const override { return size_bytes_; }
  absl::string_view Mapped() const override { return {}; }

  absl::Status ReadAt(uint64_t offset, void* out, size_t size_bytes) const override {
    if (offset > size_bytes_ || size_bytes > size_bytes_ - offset) {
      return DataError(absl::StrCat(target_.shown, " ends at byte ", size_bytes_, ", and ", size_bytes,
                                    " bytes at byte ", offset, " are asked for"));
    }
    auto* to = static_cast<char*>(out);
    if (offset + size_bytes <= head_.size()) {
      if (size_bytes > 0) std::memcpy(to, head_.data() + offset, size_bytes);
      return absl::OkStatus();
    }
    return store_->cache_ != nullptr && !key_.empty() ? ReadCached(offset, to, size_bytes)
                                                      : Fetch(offset, to, size_bytes);
  }

 private:
  RemoteFile(std::shared_ptr<RemoteStore> store, RemoteStore::Target target)
      : store_(std::move(store)), target_(std::move(target)) {}

  absl::Status WrongRange(const HttpResponse& response) const {
    return DataError(absl::StrCat(
        target_.shown, ": the server answers with another range than was asked for (Content-Range: ",
        HeaderOf(response, "content-range"), ", ", response.body.size(), " bytes)"));
  }
  absl::Status Changed() const {
    return DataError(absl::StrCat(target_.shown, " has changed on the server while it was read; begin anew"));
  }

  absl::Status Fetch(uint64_t offset, char* out, size_t size_bytes) const {
    std::map<std::string, std::string> headers = {
        {"range", absl::StrCat("bytes=", offset, "-", offset + size_bytes - 1)}};
    const bool strong = !etag_.empty() && !absl::StartsWith(etag_, "W/");
    if (strong) headers["if-match"] = etag_;
    ASSIGN_OR_RETURN(const HttpResponse response, store_->Ask(target_, headers, size_bytes));
    if (response.status == 412) return Changed();
    if (response.status != 206) return AnswerError(target_.shown, response);
    const auto range = ParseContentRange(HeaderOf(response, "content-range"));
    if (!range.has_value()) return WrongRange(response);
    if (range->size_bytes != size_bytes_ || HeaderOf(response, "etag") != etag_) return Changed();
    if (range->begin != offset || range->end != offset + size_bytes || response.body.size() != size_bytes)
      return WrongRange(response);
    std::memcpy(out, response.body.data(), size_bytes);
    return absl::OkStatus();
  }

  // Block after block; neighbours that are not there are fetched together.
  absl::Status ReadCached(uint64_t offset, char* out, size_t size_bytes) const {
    const uint64_t block_bytes = store_->options_.cache_block_bytes;
    const uint64_t first = offset / block_bytes, last = (offset + size_bytes - 1) / block_bytes;
    std::string bytes((last - first + 1) * block_bytes, '\0');
    const auto begin_of = [&](uint64_t block) { return block * block_bytes; };
    const auto size_of = [&](uint64_t block) { return std::min(block_bytes, size_bytes_ - begin_of(block)); };
    const auto place_of = [&](uint64_t block) { return bytes.data() + (block - first) * block_bytes; };
    std::vector<uint64_t> missing;
    for (uint64_t block = first; block <= last; ++block) {
      if (!store_->cache_->Get(key_, block, {place_of(block), size_of(block)})) missing.push_back(block);
    }
    for (size_t i = 0; i < missing.size();) {
      size_t end = i + 1;
      while (end < missing.size() && missing[end] == missing[end - 1] + 1) ++end;
      const uint64_t run_end = begin_of(missing[end - 1]) + size_of(missing[end - 1]);
      RETURN_IF_ERROR(Fetch(begin_of(missing[i]), place_of(missing[i]), run_end - begin_of(missing[i])));
      for (; i < end; ++i) store_->cache_->Put(key_, missing[i], {place_of(missing[i]), size_of(missing[i])});
    }
    std::memcpy(out, bytes.data() + (offset - begin_of(first)), size_bytes);
    return absl::OkStatus();
  }

  const std::shared_ptr<RemoteStore> store_;
  const RemoteStore::Target target_;
  uint64_t size_bytes_ = 0;
  std::string etag_, key_;  // key_ "": nothing tells one version from another, so nothing is kept
  std::string head_;
};

absl::StatusOr<std::unique_ptr<ReadableFile>> RemoteStore::Open(const std::string& url) {
  ASSIGN_OR_RETURN(Target target, TargetOf(url));
  return RemoteFile::Open(shared_from_this(), std::move(target));
}

// ---- Lists of S3

namespace {

// The text of the first <name> in `xml` from *at on, which moves behind it.
std::optional<absl::string_view> TakeElement(absl::string_view xml, absl::string_view name, size_t* at) {
  const std::string open = absl::StrCat("<", name, ">"), close = absl::StrCat("</", name, ">");
  const size_t begin = xml.find(open, *at);
  if (begin == absl::string_view::npos) return std::nullopt;
  const size_t end = xml.find(close, begin);
  if (end == absl::string_view::npos) return std::nullopt;
  *at = end + close.size();
  return xml.substr(begin + open.size(), end - begin - open.size());
}

absl::StatusOr<std::string> DecodeKey(absl::string_view text) {
  std::string plain(text);
  std::replace(plain.begin(), plain.end(), '+', ' ');  // as forms are encoded; a plus is %2B
  return PercentDecode(plain);
}

}  // namespace

absl::StatusOr<S3Listing> ParseS3Listing(absl::string_view xml, const std::string& prefix) {
  if (!absl::StrContains(xml, "<ListBucketResult")) return DataError("the server's answer is no list of S3");
  S3Listing listing;
  size_t at = 0;
  while (const auto contents = TakeElement(xml, "Contents", &at)) {
    size_t in_key = 0, in_size = 0;
    const auto key = TakeElement(*contents, "Key", &in_key), size = TakeElement(*contents, "Size", &in_size);
    FileInfo file;
    if (!key.has_value() || !size.has_value() || !absl::SimpleAtoi(*size, &file.size_bytes))
      return DataError("the server's list of S3 has an entry without key or size");
    ASSIGN_OR_RETURN(const std::string name, DecodeKey(*key));
    if (!absl::StartsWith(name, prefix))
      return DataError("the server's list of S3 has a key that was not asked for");
    file.name = name.substr(prefix.size());
    if (!file.name.empty() && file.name.back() != '/') listing.files.push_back(std::move(file));
  }
  at = 0;
  const auto truncated = TakeElement(xml, "IsTruncated", &at);
  at = 0;
  const auto token = TakeElement(xml, "NextContinuationToken", &at);
  if (truncated.has_value() && *truncated == "true" && token.has_value())
    listing.next_token = std::string(*token);
  return listing;
}

absl::StatusOr<std::vector<FileInfo>> RemoteStore::List(const std::string& folder) {
  ASSIGN_OR_RETURN(const Url url, ParseUrl(folder));
  if (url.scheme != "s3") {
    return ConfigError(absl::StrCat(
        ShowUrl(folder),
        " cannot be listed: a web server has no lists. Name the files, or write their numbers as "
        "{00000..00031}"));
  }
  std::string prefix(absl::StripPrefix(url.path, "/"));
  if (!prefix.empty() && prefix.back() != '/') prefix.push_back('/');
  ASSIGN_OR_RETURN(Target target, TargetOf(absl::StrCat("s3://", url.host, "/")));
  target.shown = ShowUrl(folder);
  std::vector<FileInfo> files;
  std::string token;
  do {
    target.s3_query = {{"delimiter", "/"}, {"encoding-type", "url"}, {"list-type", "2"}, {"prefix", prefix}};
    if (!token.empty()) target.s3_query.push_back({"continuation-token", token});
    std::sort(target.s3_query.begin(), target.s3_query.end());
    ASSIGN_OR_RETURN(const HttpResponse response, Ask(target, {}, kMostListBytes));
    if (response.status != 200) return AnswerError(target.shown, response);
    if (response.cut) return DataError(absl::StrCat(target.shown, ": the server's list is too long"));
    auto listing = ParseS3Listing(response.body, prefix);
    if (!listing.ok()) return Annotate(listing.status(), target.shown);
    for (FileInfo& file : listing->files) files.push_back(std::move(file));
    token = listing->next_token;
  } while (!token.empty());
  std::sort(files.begin(), files.end(), [](const FileInfo& a, const FileInfo& b) { return a.name < b.name; });
  return files;
}

}  // namespace lockstep::data
