// Addresses of records that lie on a server.
#ifndef LOCKSTEP_RUNTIME_DATA_REMOTE_URL_H_
#define LOCKSTEP_RUNTIME_DATA_REMOTE_URL_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/core/status.h"

namespace lockstep::data {

// http://, https:// or s3://, in lower case.
bool IsRemote(absl::string_view path);

struct Url {
  std::string scheme;  // "http", "https" or "s3"
  std::string host;    // with the port where one is given; of s3: the bucket
  std::string path;    // begins with '/'; as it stands in the address
  std::string query;   // without '?'
};
// Error: ConfigError for what is no such address, names no host, or holds spaces or control characters. A name and password before the
// host are refused: they would stand in configurations and logs.
absl::StatusOr<Url> ParseUrl(absl::string_view text);

// For people and logs: without the query, which may hold a signature.
std::string ShowUrl(absl::string_view text);

// Percent-encodes all bytes but RFC 3986's unreserved ones, and '/' where `keep_slashes`: as AWS Signature Version 4 wants it.
std::string PercentEncode(absl::string_view bytes, bool keep_slashes);
// Error: ConfigError for '%' without two hexadecimal digits.
absl::StatusOr<std::string> PercentDecode(absl::string_view text);

// "a-{00000..00002}.tfrecord" as its three names: whole numbers, as many digits as the first has, the last included. Several
// braces give all combinations, the last brace fastest. A text without such braces is itself. Error: ConfigError for more than
// 1,000,000 names, or numbers that fall.
absl::StatusOr<std::vector<std::string>> ExpandBraces(const std::string& pattern);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_REMOTE_URL_H_
