// AWS Signature Version 4, by which S3 and what speaks like it know who asks. A pure function.
// https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
#ifndef LOCKSTEP_RUNTIME_DATA_REMOTE_SIGV4_H_
#define LOCKSTEP_RUNTIME_DATA_REMOTE_SIGV4_H_

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace lockstep::data {

struct AwsKeys {
  std::string id, secret;
  std::string token;  // of a session; "": none
  bool empty() const { return id.empty(); }
};

struct SignedRequest {
  std::string method = "GET";
  std::string path;  // decoded, begins with '/'
  // Decoded names and values.
  std::vector<std::pair<std::string, std::string>> query;
  std::map<std::string, std::string>
      headers;                 // lower-case names; all are signed; `host` and `x-amz-date` must be there
  std::string payload_sha256;  // 64 hex digits
};

struct SigningScope {
  std::string region, service;
  std::string date_time;  // "20130524T000000Z"
  // S3 takes a path as it is; other services first drop empty parts and resolve "." and "..", and encode what is encoded
  // once more.
  bool normalize_path = false;
};

// SHA-256 of no bytes, the payload of a GET.
inline constexpr char kEmptySha256[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

// The parts of the algorithm, in its words.
std::string CanonicalRequest(const SignedRequest& request, bool normalize_path);
std::string StringToSign(const std::string& canonical_request, const SigningScope& scope);
// The value of the header Authorization.
std::string Authorization(const SignedRequest& request, const SigningScope& scope, const AwsKeys& keys);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_REMOTE_SIGV4_H_
