// Statistics as a file.
#include <cmath>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "nlohmann/json.hpp"
#include "runtime/data/columns/statistics.h"

namespace lockstep::data {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kFormat[] = "lockstep statistics 1";

Json NumbersJson(const NumberStatistics& n) {
  Json json = {{"count", n.count}, {"mean", n.mean}, {"std", n.std}, {"min", n.min}, {"max", n.max}};
  if (n.not_finite > 0) json["not_finite"] = n.not_finite;
  if (n.log_std != 0 || n.log_mean != 0) {
    json["log"] = {{"mean", n.log_mean}, {"std", n.log_std}, {"min", n.log_min}, {"max", n.log_max}};
  }
  if (!n.quantiles.empty()) json["quantiles"] = n.quantiles;
  if (!n.histogram.empty()) json["histogram"] = n.histogram;
  return json;
}

Json FeatureJson(const FeatureStatistics& f) {
  Json json = {{"type", f.type},
               {"records", f.records},
               {"elements", f.elements},
               {"length", {f.min_length, f.max_length}}};
  if (f.type == "bytes") json["string_bytes"] = {f.min_string_bytes, f.max_string_bytes};
  for (const NumberStatistics& n : f.numbers) json["numbers"].push_back(NumbersJson(n));
  if (f.all_values) {
    json["values"] = Json::array();
    for (const ValueCount& v : f.values) json["values"].push_back({v.value, v.count});
  }
  return json;
}

// Names of features may be any bytes.
std::string Text(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

// A feature a line, so that people can compare two files.
std::string FeaturesText(const std::map<std::string, std::vector<FeatureStatistics>>& features) {
  std::string text;
  for (const auto& [name, types] : features) {
    Json json = Json::array();
    for (const FeatureStatistics& f : types) json.push_back(FeatureJson(f));
    absl::StrAppend(&text, text.empty() ? "" : ",", "\n  ", Text(name), ": ", Text(json));
  }
  return absl::StrCat("{", text, "}");
}

// Reads what the functions above write. A wrong type throws; the caller turns that into an error.
NumberStatistics NumbersOf(const Json& json) {
  NumberStatistics n;
  n.count = json.at("count");
  n.mean = json.at("mean");
  n.std = json.at("std");
  n.min = json.at("min");
  n.max = json.at("max");
  n.not_finite = json.value("not_finite", int64_t{0});
  if (json.contains("log")) {
    const Json& log = json["log"];
    n.log_mean = log.at("mean");
    n.log_std = log.at("std");
    n.log_min = log.at("min");
    n.log_max = log.at("max");
  }
  if (json.contains("quantiles")) n.quantiles = json["quantiles"].get<std::vector<double>>();
  if (json.contains("histogram")) n.histogram = json["histogram"].get<std::vector<int64_t>>();
  return n;
}

FeatureStatistics FeatureOf(const Json& json) {
  FeatureStatistics f;
  f.type = json.at("type").get<std::string>();
  f.records = json.at("records");
  f.elements = json.at("elements");
  f.min_length = json.at("length").at(0);
  f.max_length = json.at("length").at(1);
  if (json.contains("string_bytes")) {
    f.min_string_bytes = json["string_bytes"].at(0);
    f.max_string_bytes = json["string_bytes"].at(1);
  }
  if (json.contains("numbers")) {
    for (const Json& n : json["numbers"]) f.numbers.push_back(NumbersOf(n));
  }
  f.all_values = json.contains("values");
  if (f.all_values) {
    for (const Json& v : json["values"])
      f.values.push_back({v.at(0).get<std::string>(), v.at(1).get<int64_t>()});
  }
  return f;
}

std::map<std::string, std::vector<FeatureStatistics>> FeaturesOf(const Json& json) {
  std::map<std::string, std::vector<FeatureStatistics>> features;
  for (const auto& [name, types] : json.items()) {
    for (const Json& type : types) features[name].push_back(FeatureOf(type));
  }
  return features;
}

Statistics StatisticsOf(const Json& json) {
  Statistics s;
  s.fingerprint = json.at("fingerprint").get<std::string>();
  s.records = json.at("records");
  s.other_records = json.value("other_records", int64_t{0});
  s.min_record_bytes = json.at("record_bytes").at(0);
  s.max_record_bytes = json.at("record_bytes").at(1);
  for (const Json& file : json.at("files")) {
    FileFact fact{file.at("name").get<std::string>(), file.at("records").get<int64_t>(), 0};
    if (!absl::SimpleHexAtoi(file.at("content_hash").get<std::string>(), &fact.content_hash))
      throw std::invalid_argument("content_hash is no hexadecimal number");
    s.files.push_back(std::move(fact));
  }
  s.features = FeaturesOf(json.at("features"));
  s.lists = FeaturesOf(json.at("feature_lists"));
  return s;
}

std::string FileText(const FileFact& file) {
  return absl::StrFormat("%s: %d records, contents %016x", file.name, file.records, file.content_hash);
}

}  // namespace

std::string WriteStatistics(const Statistics& s) {
  Json files = Json::array();
  for (const FileFact& file : s.files) {
    files.push_back({{"name", file.name},
                     {"records", file.records},
                     {"content_hash", absl::StrFormat("%016x", file.content_hash)}});
  }
  return absl::StrCat("{\n \"format\": ", Text(kFormat), ",\n \"fingerprint\": ", Text(s.fingerprint),
                      ",\n \"records\": ", s.records, ",\n \"other_records\": ", s.other_records,
                      ",\n \"record_bytes\": [", s.min_record_bytes, ", ", s.max_record_bytes,
                      "],\n \"files\": ", Text(files), ",\n \"features\": ", FeaturesText(s.features),
                      ",\n \"feature_lists\": ", FeaturesText(s.lists), "\n}\n");
}

absl::StatusOr<Statistics> ReadStatistics(absl::string_view path, absl::string_view text) {
  const absl::string_view advice = "; `lockstep records stat --out` writes such a file";
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("format") || json["format"] != kFormat) {
    return DataError(absl::StrCat(path, " holds no statistics of this version (", kFormat, ")", advice));
  }
  try {  // only of the JSON library
    return StatisticsOf(json);
  } catch (const std::exception& error) {
    return DataError(absl::StrCat(path, " holds damaged statistics: ", error.what(), advice));
  }
}

absl::Status CheckFresh(const Statistics& statistics, absl::string_view path, const Dataset& dataset) {
  if (statistics.fingerprint == dataset.fingerprint()) return absl::OkStatus();
  std::map<std::string, std::string> then, now;
  for (const FileFact& file : statistics.files) then[file.name] = FileText(file);
  std::string training;
  for (const FileFact& file : FactsOf(dataset)) now[file.name] = FileText(file);
  for (const auto& file : dataset.files())
    absl::StrAppend(&training, training.empty() ? "" : " ", file->path());
  std::string diff;
  for (const auto& [name, text] : then) {
    const auto at = now.find(name);
    if (at == now.end()) absl::StrAppend(&diff, "\n  - ", text);
    if (at != now.end() && at->second != text) absl::StrAppend(&diff, "\n  - ", text, "\n  + ", at->second);
  }
  for (const auto& [name, text] : now) {
    if (then.count(name) == 0) absl::StrAppend(&diff, "\n  + ", text);
  }
  return DataError(absl::StrCat(path, " was made of other data (-) than what is trained on (+):", diff,
                                "\nMake it anew: lockstep records stat ", training, " --out ", path));
}

}  // namespace lockstep::data
