// Where S3 is, and who we are there: as AWS's own tools find it.
#ifndef LOCKSTEP_RUNTIME_DATA_REMOTE_AWS_CONFIG_H_
#define LOCKSTEP_RUNTIME_DATA_REMOTE_AWS_CONFIG_H_

#include <functional>
#include <map>
#include <string>

#include "absl/strings/string_view.h"
#include "runtime/core/file_system.h"
#include "runtime/core/status.h"
#include "runtime/data/remote/sigv4.h"

namespace lockstep::data {

struct AwsConfig {
  AwsKeys keys;        // empty: requests are not signed, which is enough for what is public
  std::string region;  // "us-east-1" where nothing says another
  std::string
      endpoint;  // "http://host:port" of a server that speaks S3, buckets as the first part of the path; "": AWS
};

// A variable of the environment, "" where it is not set.
using GetVariable = std::function<std::string(const std::string&)>;
std::string VariableOfProcess(const std::string& name);

// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN; else the profile AWS_PROFILE ("default") of the file
// AWS_SHARED_CREDENTIALS_FILE (~/.aws/credentials). AWS_REGION, AWS_DEFAULT_REGION; else the profile's of AWS_CONFIG_FILE
// (~/.aws/config). AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL; else the profile's endpoint_url. Errors: ConfigError for half a pair of
// keys, or a profile that is named and not there. Messages hold no secrets.
absl::StatusOr<AwsConfig> LoadAwsConfig(FileSystem* fs, const GetVariable& variable);

// Sections of name = value lines; '#' and ';' begin comments, "profile x" is x.
std::map<std::string, std::map<std::string, std::string>> ParseIni(absl::string_view text);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_REMOTE_AWS_CONFIG_H_
