#include "runtime/data/remote/url.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"

namespace lockstep::data {
namespace {

constexpr int64_t kMostNames = 1000000;

// "{00000..00002}" at `begin` of `text`: from, to, digits, and where it ends. False: it is something else.
struct Braces {
  int64_t from = 0, to = 0;
  size_t digits = 0, end = 0;
};
bool TakeBraces(absl::string_view text, size_t begin, Braces* braces) {
  const size_t close = text.find('}', begin);
  if (close == absl::string_view::npos) return false;
  const absl::string_view inside = text.substr(begin + 1, close - begin - 1);
  const size_t dots = inside.find("..");
  if (dots == absl::string_view::npos) return false;
  const absl::string_view from = inside.substr(0, dots), to = inside.substr(dots + 2);
  const auto digits = [](absl::string_view number) {
    return !number.empty() && number.size() <= 18 &&
           std::all_of(number.begin(), number.end(), [](char c) { return absl::ascii_isdigit(c); });
  };
  if (!digits(from) || !digits(to)) return false;
  braces->digits = from.size();
  braces->end = close + 1;
  return absl::SimpleAtoi(from, &braces->from) && absl::SimpleAtoi(to, &braces->to);
}

absl::Status Expand(const std::string& pattern, size_t from, std::vector<std::string>* names) {
  for (size_t at = pattern.find('{', from); at != std::string::npos; at = pattern.find('{', at + 1)) {
    Braces braces;
    if (!TakeBraces(pattern, at, &braces)) continue;
    if (braces.to < braces.from || braces.to - braces.from >= kMostNames) {
      return ConfigError(absl::StrCat(pattern, ": the numbers in {", braces.from, "..", braces.to,
                                      "} fall, or are too many"));
    }
    for (int64_t i = braces.from; i <= braces.to; ++i) {
      const std::string number = absl::StrFormat("%0*d", static_cast<int>(braces.digits), i);
      RETURN_IF_ERROR(
          Expand(pattern.substr(0, at) + number + pattern.substr(braces.end), at + number.size(), names));
    }
    return absl::OkStatus();
  }
  names->push_back(pattern);
  if (static_cast<int64_t>(names->size()) > kMostNames)
    return ConfigError(absl::StrCat(pattern, " stands for more than ", kMostNames, " files"));
  return absl::OkStatus();
}

}  // namespace

bool IsRemote(absl::string_view path) {
  return absl::StartsWith(path, "http://") || absl::StartsWith(path, "https://") ||
         absl::StartsWith(path, "s3://");
}

absl::StatusOr<Url> ParseUrl(absl::string_view text) {
  if (!IsRemote(text))
    return ConfigError(absl::StrCat(ShowUrl(text), " begins with none of http://, https:// and s3://"));
  for (const unsigned char c : text) {
    const bool blank = c == ' ' && !absl::StartsWith(text, "s3://");  // keys of S3 stand as they are
    if (c < ' ' || blank || c == 0x7f)
      return ConfigError(absl::StrCat(ShowUrl(absl::CHexEscape(text)),
                                      " holds spaces or control characters; write them as %20"));
  }
  Url url;
  const size_t scheme_end = text.find("://");
  url.scheme = std::string(text.substr(0, scheme_end));
  absl::string_view rest = text.substr(scheme_end + 3);
  if (url.scheme != "s3") {
    rest = rest.substr(0, rest.find('#'));
    const size_t query = rest.find('?');
    if (query != absl::string_view::npos) url.query = std::string(rest.substr(query + 1));
    rest = rest.substr(0, query);
  }
  const size_t slash = rest.find('/');
  url.host = std::string(rest.substr(0, slash));
  url.path = slash == absl::string_view::npos ? "/" : std::string(rest.substr(slash));
  if (url.host.empty()) return ConfigError(absl::StrCat(ShowUrl(text), " names no host"));
  if (absl::StrContains(url.host, '@')) {
    return ConfigError(absl::StrCat(url.scheme, "://...@", url.host.substr(url.host.rfind('@') + 1),
                                    " holds a name or password; they do not belong into addresses"));
  }
  return url;
}

std::string ShowUrl(absl::string_view text) {
  if (absl::StartsWith(text, "s3://")) return std::string(text);
  const size_t query = text.find('?');
  return query == absl::string_view::npos || !IsRemote(text) ? std::string(text)
                                                             : absl::StrCat(text.substr(0, query), "?...");
}

std::string PercentEncode(absl::string_view bytes, bool keep_slashes) {
  std::string out;
  for (const char c : bytes) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.' || c == '~' ||
        (keep_slashes && c == '/')) {
      out.push_back(c);
    } else {
      absl::StrAppendFormat(&out, "%%%02X", static_cast<unsigned char>(c));
    }
  }
  return out;
}

absl::StatusOr<std::string> PercentDecode(absl::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    if (i + 2 >= text.size() || !absl::ascii_isxdigit(static_cast<unsigned char>(text[i + 1])) ||
        !absl::ascii_isxdigit(static_cast<unsigned char>(text[i + 2]))) {
      return ConfigError(absl::StrCat("'", text, "' has a % without two hexadecimal digits"));
    }
    out += absl::HexStringToBytes(text.substr(i + 1, 2));
    i += 2;
  }
  return out;
}

absl::StatusOr<std::vector<std::string>> ExpandBraces(const std::string& pattern) {
  std::vector<std::string> names;
  RETURN_IF_ERROR(Expand(pattern, 0, &names));
  return names;
}

}  // namespace lockstep::data
