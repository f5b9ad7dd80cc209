// Files on servers, read in pieces: HTTP and HTTPS by range requests, and S3 or what speaks like it.
#ifndef LOCKSTEP_RUNTIME_DATA_REMOTE_REMOTE_STORE_H_
#define LOCKSTEP_RUNTIME_DATA_REMOTE_REMOTE_STORE_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "runtime/core/file_system.h"
#include "runtime/core/status.h"
#include "runtime/data/remote/aws_config.h"
#include "runtime/data/remote/block_cache.h"
#include "runtime/data/remote/http_client.h"
#include "runtime/data/remote/retry.h"
#include "runtime/data/remote/url.h"

namespace lockstep::data {

struct RemoteOptions {
  std::string cache_folder;                        // "": nothing is kept on a disk
  uint64_t cache_bytes = uint64_t{10} << 30;       // of that folder
  uint64_t cache_block_bytes = uint64_t{1} << 20;  // fetched and kept together
  RetryOptions retry = {};
  GetVariable variable = VariableOfProcess;
};

// Thread-safe. Nothing is asked of any server, and no credentials are read, before the first Open or List.
class RemoteStore : public std::enable_shared_from_this<RemoteStore> {
 public:
  // `local` is borrowed; it holds AWS's files. `client` null: MakeHttpClient, when it is first needed.
  RemoteStore(FileSystem* local, RemoteOptions options, std::unique_ptr<HttpClient> client = nullptr);

  // A file at a URL, its size and identity (ETag) asked for. Its reads are exact range requests; where there is a cache, of its blocks.
  // Errors: NotFound; PermissionDenied; SourceError where the server does not answer; DataError where it knows no ranges, and, of a read,
  // where the file has changed on the server since it was opened.
  absl::StatusOr<std::unique_ptr<ReadableFile>> Open(const std::string& url);

  // What lies directly under s3://bucket/folder, by name; keys of no bytes that end in '/' are folders. Web servers have no lists:
  // ConfigError.
  absl::StatusOr<std::vector<FileInfo>> List(const std::string& folder);

  std::shared_ptr<BlockCache> cache();  // null: none, or not yet used

 private:
  friend class RemoteFile;
  struct Target;  // what of a URL does not change from request to request

  absl::Status Prepare();
  absl::StatusOr<Target> TargetOf(const std::string& url);
  HttpRequest RequestTo(const Target& target, std::map<std::string, std::string> headers,
                        uint64_t most_bytes) const;
  absl::StatusOr<HttpResponse> Ask(const Target& target, const std::map<std::string, std::string>& headers,
                                   uint64_t most_bytes);

  FileSystem* const local_;
  const RemoteOptions options_;
  std::mutex mutex_;  // guards what Prepare makes
  bool prepared_ = false;
  std::unique_ptr<HttpClient> client_;
  std::optional<AwsConfig> aws_;
  std::shared_ptr<BlockCache> cache_;
};

// The body of an answer of ListObjectsV2, asked for with encoding-type=url and delimiter=/: names below `prefix`, and how to go on.
struct S3Listing {
  std::vector<FileInfo> files;
  std::string next_token;  // "": that was all
};
// Error: DataError for what is no such answer.
absl::StatusOr<S3Listing> ParseS3Listing(absl::string_view xml, const std::string& prefix);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_REMOTE_REMOTE_STORE_H_
