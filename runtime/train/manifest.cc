#include "runtime/train/manifest.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "proto/manifest.pb.h"
#include "runtime/core/hash.h"

namespace lockstep::train {
namespace {

namespace pb = ::google::protobuf;
using proto::CheckpointManifest;

constexpr char kCheckPrefix[] = "# crc32c of all bytes above: ";
constexpr size_t kCheckLineBytes = sizeof kCheckPrefix - 1 + 8 + 1;  // 8 digits and a newline
constexpr int kMaxNesting = 8;                                       // of messages; the schema needs 2
constexpr char kNewerUrl[] = "lockstep/newer-checkpoint-format";

// Keeps the parser's first complaint, which it would print otherwise.
class FirstError final : public pb::io::ErrorCollector {
 public:
  void AddError(int line, int column, const std::string& message) override {
    if (text_.empty()) text_ = absl::StrCat("line ", line + 1, ", column ", column + 1, ": ", message);
  }
  void AddWarning(int, int, const std::string&) override {}
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

void CountersToProto(const Counters& counters, CheckpointManifest* message) {
  for (const auto& [name, value] : counters) {
    auto& counter = *message->add_counters();
    counter.set_name(name);
    if (const auto* integer = std::get_if<int64_t>(&value)) {
      counter.set_integer(*integer);
    } else if (const auto* real = std::get_if<double>(&value)) {
      counter.set_real(*real);
    } else {
      counter.set_raw(std::get<std::string>(value));
    }
  }
}

CounterValue CounterFromProto(const CheckpointManifest::Counter& counter) {
  switch (counter.value_case()) {
    case CheckpointManifest::Counter::kReal:
      return counter.real();
    case CheckpointManifest::Counter::kRaw:
      return counter.raw();
    default:
      return static_cast<int64_t>(counter.integer());
  }
}

CheckpointManifest ToProto(const Manifest& manifest) {
  CheckpointManifest message;
  message.set_format_version(manifest.format_version);
  message.set_step(manifest.step);
  message.set_position(manifest.position);
  message.set_seed(manifest.seed);
  message.set_dataset_fingerprint(manifest.dataset_fingerprint);
  message.set_validation_fingerprint(manifest.validation_fingerprint);
  message.set_recipe_sha256(manifest.recipe_sha256);
  message.set_recipe_text(manifest.recipe_text);
  message.set_probe_sha256(manifest.probe_sha256);
  message.set_weights_sha256(manifest.weights_sha256);
  message.set_state_sha256(manifest.state_sha256);
  message.set_save_id(manifest.save_id);
  message.set_world_size(manifest.world_size);
  message.set_generation(manifest.generation);
  message.set_train_seconds(manifest.train_seconds);
  message.set_build_id(manifest.build_id);
  message.set_wall_time(manifest.wall_time);
  for (const auto& [name, value] : manifest.metrics) {
    auto* metric = message.add_metrics();
    metric->set_name(name);
    metric->set_value(value);
  }
  CountersToProto(manifest.counters, &message);
  for (const ManifestDataFile& data : manifest.data_files) {
    auto* entry = message.add_data_files();
    entry->set_name(data.file.name);
    entry->set_validation(data.validation);
    entry->set_size_bytes(data.file.size_bytes);
    entry->set_records(data.file.records);
    entry->set_content_hash(data.file.content_hash);
  }
  for (const ManifestFile& file : manifest.files) {
    auto* entry = message.add_files();
    entry->set_name(file.name);
    entry->set_size_bytes(file.size_bytes);
    entry->set_header_crc32c(file.header_crc32c);
  }
  for (const ManifestTensor& tensor : manifest.tensors) {
    auto* entry = message.add_tensors();
    entry->set_name(tensor.name);
    entry->set_role(static_cast<CheckpointManifest::Role>(static_cast<int>(tensor.role) + 1));
    entry->set_dtype(std::string(NameOf(tensor.dtype)));
    for (const int64_t dimension : tensor.shape.dims()) entry->add_shape(dimension);
    entry->set_file(tensor.file);
    entry->set_crc32c(tensor.crc32c);
  }
  return message;
}

absl::StatusOr<ManifestTensor> TensorFromProto(const CheckpointManifest::Tensor& entry) {
  ManifestTensor tensor;
  tensor.name = entry.name();
  if (entry.role() < CheckpointManifest::PARAMETER || entry.role() > CheckpointManifest::EMA) {
    return CheckpointError(absl::StrCat("tensor '", entry.name(), "' has no role"));
  }
  tensor.role = static_cast<TensorRole>(entry.role() - 1);
  auto dtype = DTypeFromName(entry.dtype());
  auto shape = Shape::FromDims({entry.shape().data(), static_cast<size_t>(entry.shape().size())});
  for (const absl::Status& status : {dtype.status(), shape.status()}) {
    if (!status.ok()) return CheckpointError(absl::StrCat("tensor '", entry.name(), "': ", status.message()));
  }
  tensor.dtype = *dtype;
  tensor.shape = *shape;
  tensor.file = entry.file();
  tensor.crc32c = entry.crc32c();
  return tensor;
}

absl::StatusOr<Manifest> FromProto(const CheckpointManifest& message) {
  Manifest manifest;
  manifest.format_version = message.format_version();
  manifest.step = message.step();
  manifest.position = message.position();
  manifest.seed = message.seed();
  manifest.dataset_fingerprint = message.dataset_fingerprint();
  manifest.validation_fingerprint = message.validation_fingerprint();
  manifest.recipe_sha256 = message.recipe_sha256();
  manifest.recipe_text = message.recipe_text();
  manifest.probe_sha256 = message.probe_sha256();
  manifest.weights_sha256 = message.weights_sha256();
  manifest.state_sha256 = message.state_sha256();
  manifest.save_id = message.save_id();
  manifest.world_size = message.world_size();
  manifest.generation = message.generation();
  manifest.train_seconds = message.train_seconds();
  manifest.build_id = message.build_id();
  manifest.wall_time = message.wall_time();
  for (const auto& metric : message.metrics()) manifest.metrics[metric.name()] = metric.value();
  for (const auto& counter : message.counters())
    manifest.counters[counter.name()] = CounterFromProto(counter);
  for (const auto& data : message.data_files()) {
    manifest.data_files.push_back(
        {{data.name(), data.size_bytes(), data.records(), data.content_hash()}, data.validation()});
  }
  for (const auto& file : message.files()) {
    manifest.files.push_back({file.name(), file.size_bytes(), file.header_crc32c()});
  }
  for (const auto& entry : message.tensors()) {
    ASSIGN_OR_RETURN(ManifestTensor tensor, TensorFromProto(entry));
    manifest.tensors.push_back(std::move(tensor));
  }
  return manifest;
}

// The text without its check line, or what is wrong with that.
absl::StatusOr<absl::string_view> CheckedText(absl::string_view text) {
  if (text.size() < kCheckLineBytes)
    return CheckpointError(absl::StrCat("cut off after ", text.size(), " bytes"));
  const absl::string_view body = text.substr(0, text.size() - kCheckLineBytes);
  const std::string expected = absl::StrFormat("%s%08x\n", kCheckPrefix, Crc32c(0, body.data(), body.size()));
  if (text.substr(body.size()) != expected) {
    return CheckpointError("damaged or edited: its last line does not match the rest");
  }
  return body;
}

absl::StatusOr<Manifest> Parse(absl::string_view text) {
  ASSIGN_OR_RETURN(const absl::string_view body, CheckedText(text));
  CheckpointManifest message;
  FirstError error;
  pb::TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  parser.SetRecursionLimit(kMaxNesting);
  parser.AllowUnknownField(true);  // so that a newer format is named as such
  const bool parsed = parser.ParseFromString(std::string(body), &message);
  if (message.format_version() > kCheckpointFormatVersion) {
    absl::Status status = CheckpointError(absl::StrCat(
        "written in checkpoint format ", message.format_version(), ", this Lockstep reads up to ",
        kCheckpointFormatVersion, "; resume with the Lockstep that wrote it (build '", message.build_id(),
        "') or a newer one"));
    status.SetPayload(kNewerUrl, absl::Cord("1"));
    return status;
  }
  if (!parsed) return CheckpointError(error.text());
  if (message.format_version() < 1) return CheckpointError("has no format_version");
  return FromProto(message);
}

}  // namespace

std::string SerializeManifest(const Manifest& manifest) {
  std::string text;
  pb::TextFormat::Printer printer;
  printer.SetUseUtf8StringEscaping(false);
  printer.PrintToString(ToProto(manifest), &text);
  absl::StrAppendFormat(&text, "%s%08x\n", kCheckPrefix, Crc32c(0, text.data(), text.size()));
  return text;
}

absl::StatusOr<Manifest> ParseManifest(absl::string_view text, absl::string_view where) {
  auto manifest = Parse(text);
  if (!manifest.ok()) return Annotate(manifest.status(), where);
  return manifest;
}

bool IsNewerFormat(const absl::Status& status) { return status.GetPayload(kNewerUrl).has_value(); }

absl::string_view NameOf(TensorRole role) {
  switch (role) {
    case TensorRole::kParameter:
      return "PARAMETER";
    case TensorRole::kBuffer:
      return "BUFFER";
    case TensorRole::kOptimizer:
      return "OPTIMIZER";
    case TensorRole::kEma:
      return "EMA";
  }
  return "";
}

}  // namespace lockstep::train
