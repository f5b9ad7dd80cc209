#include "runtime/data/remote/sigv4.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "runtime/core/hash.h"
#include "runtime/data/remote/url.h"

namespace lockstep::data {
namespace {

constexpr char kAlgorithm[] = "AWS4-HMAC-SHA256";

std::string NormalPath(absl::string_view path) {
  std::vector<absl::string_view> parts;
  for (const absl::string_view part : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    if (part == "..") {
      if (!parts.empty()) parts.pop_back();
    } else if (part != ".") {
      parts.push_back(part);
    }
  }
  const bool folder = !parts.empty() && !path.empty() && path.back() == '/';
  return absl::StrCat("/", absl::StrJoin(parts, "/"), folder ? "/" : "");
}

std::string CanonicalQuery(const SignedRequest& request) {
  std::vector<std::pair<std::string, std::string>> encoded;
  for (const auto& [name, value] : request.query) {
    encoded.push_back({PercentEncode(name, false), PercentEncode(value, false)});
  }
  std::sort(encoded.begin(), encoded.end());
  return absl::StrJoin(encoded, "&", absl::PairFormatter("="));
}

// Blanks at the ends go, and several within become one.
std::string CanonicalValue(absl::string_view value) {
  std::string out(value);
  absl::RemoveExtraAsciiWhitespace(&out);
  return out;
}

std::string SignedHeaders(const SignedRequest& request) {
  return absl::StrJoin(request.headers, ";",
                       [](std::string* out, const auto& header) { out->append(header.first); });
}

std::string ScopeText(const SigningScope& scope) {
  return absl::StrCat(scope.date_time.substr(0, 8), "/", scope.region, "/", scope.service, "/aws4_request");
}

}  // namespace

std::string CanonicalRequest(const SignedRequest& request, bool normalize_path) {
  const std::string path = normalize_path ? NormalPath(request.path) : request.path;
  std::string headers;
  for (const auto& [name, value] : request.headers)
    absl::StrAppend(&headers, name, ":", CanonicalValue(value), "\n");
  return absl::StrCat(request.method, "\n", PercentEncode(path, true), "\n", CanonicalQuery(request), "\n",
                      headers, "\n", SignedHeaders(request), "\n", request.payload_sha256);
}

std::string StringToSign(const std::string& canonical_request, const SigningScope& scope) {
  return absl::StrCat(kAlgorithm, "\n", scope.date_time, "\n", ScopeText(scope), "\n",
                      Sha256Hex(canonical_request));
}

std::string Authorization(const SignedRequest& request, const SigningScope& scope, const AwsKeys& keys) {
  std::string key = HmacSha256(absl::StrCat("AWS4", keys.secret), scope.date_time.substr(0, 8));
  for (const absl::string_view part : {absl::string_view(scope.region), absl::string_view(scope.service),
                                       absl::string_view("aws4_request")}) {
    key = HmacSha256(key, part);
  }
  const std::string to_sign = StringToSign(CanonicalRequest(request, scope.normalize_path), scope);
  return absl::StrCat(kAlgorithm, " Credential=", keys.id, "/", ScopeText(scope),
                      ", SignedHeaders=", SignedHeaders(request),
                      ", Signature=", absl::BytesToHexString(HmacSha256(key, to_sign)));
}

}  // namespace lockstep::data
