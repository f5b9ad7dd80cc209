#include "runtime/data/remote/aws_config.h"

#include <cstdlib>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace lockstep::data {
namespace {

using Ini = std::map<std::string, std::map<std::string, std::string>>;

// The file that a variable names, else the one at home; empty where there is none.
absl::StatusOr<Ini> LoadIni(FileSystem* fs, const GetVariable& variable, const std::string& named_by,
                            const std::string& at_home) {
  std::string path = variable(named_by);
  const bool named = !path.empty();
  if (!named) {
    const std::string home = variable("HOME");
    if (home.empty()) return Ini();
    path = JoinPath(home, at_home);
    if (!fs->Exists(path)) return Ini();
  }
  const auto text = ReadWholeFile(fs, path);
  if (!text.ok())
    return ConfigError(absl::StrCat(named ? named_by + ": " : "", std::string(text.status().message())));
  return ParseIni(*text);
}

std::string Find(const Ini& ini, const std::string& section, const std::string& name) {
  const auto at = ini.find(section);
  if (at == ini.end()) return "";
  const auto value = at->second.find(name);
  return value == at->second.end() ? "" : value->second;
}

std::string FirstOf(std::initializer_list<std::string> values) {
  for (const std::string& value : values) {
    if (!value.empty()) return value;
  }
  return "";
}

}  // namespace

std::string VariableOfProcess(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? "" : value;
}

Ini ParseIni(absl::string_view text) {
  Ini ini;
  std::string section;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line[0] == '#' || line[0] == ';') continue;
    if (line[0] == '[' && line.back() == ']') {
      absl::string_view name = absl::StripAsciiWhitespace(line.substr(1, line.size() - 2));
      if (absl::ConsumePrefix(&name, "profile ")) name = absl::StripAsciiWhitespace(name);
      section = std::string(name);
      ini[section];
      continue;
    }
    const std::pair<absl::string_view, absl::string_view> halves =
        absl::StrSplit(line, absl::MaxSplits('=', 1));
    ini[section][absl::AsciiStrToLower(absl::StripAsciiWhitespace(halves.first))] =
        std::string(absl::StripAsciiWhitespace(halves.second));
  }
  return ini;
}

absl::StatusOr<AwsConfig> LoadAwsConfig(FileSystem* fs, const GetVariable& variable) {
  AwsConfig config;
  const std::string asked = variable("AWS_PROFILE"), profile = asked.empty() ? "default" : asked;
  ASSIGN_OR_RETURN(const Ini credentials,
                   LoadIni(fs, variable, "AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"));
  ASSIGN_OR_RETURN(const Ini settings, LoadIni(fs, variable, "AWS_CONFIG_FILE", ".aws/config"));
  if (!asked.empty() && credentials.count(profile) == 0 && settings.count(profile) == 0)
    return ConfigError(
        absl::StrCat("AWS_PROFILE names the profile '", profile,
                     "', which is neither in the file of credentials nor in that of settings"));
  config.keys = {variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"),
                 variable("AWS_SESSION_TOKEN")};
  std::string place = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
  if (config.keys.id.empty() && config.keys.secret.empty()) {
    place = absl::StrCat("aws_access_key_id and aws_secret_access_key of the profile '", profile, "'");
    const Ini& from = Find(credentials, profile, "aws_access_key_id").empty() ? settings : credentials;
    config.keys = {Find(from, profile, "aws_access_key_id"), Find(from, profile, "aws_secret_access_key"),
                   Find(from, profile, "aws_session_token")};
  }
  if (config.keys.id.empty() != config.keys.secret.empty())
    return ConfigError(absl::StrCat(place, " belong together: one of them is missing"));
  config.region = FirstOf({variable("AWS_REGION"), variable("AWS_DEFAULT_REGION"),
                           Find(settings, profile, "region"), "us-east-1"});
  config.endpoint = FirstOf({variable("AWS_ENDPOINT_URL_S3"), variable("AWS_ENDPOINT_URL"),
                             Find(settings, profile, "endpoint_url")});
  while (!config.endpoint.empty() && config.endpoint.back() == '/') config.endpoint.pop_back();
  return config;
}

}  // namespace lockstep::data
