#include <google/protobuf/text_format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/core/hash.h"
#include "runtime/data/remote/url.h"
#include "runtime/train/config.h"

namespace lockstep::train {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using google::protobuf::TextFormat;

constexpr int64_t kMostInt32 = std::numeric_limits<int32_t>::max();

void SetToDefault(Message* message, const FieldDescriptor* field) {
  const Reflection* reflection = message->GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return reflection->SetInt32(message, field, field->default_value_int32());
    case FieldDescriptor::CPPTYPE_INT64:
      return reflection->SetInt64(message, field, field->default_value_int64());
    case FieldDescriptor::CPPTYPE_UINT32:
      return reflection->SetUInt32(message, field, field->default_value_uint32());
    case FieldDescriptor::CPPTYPE_UINT64:
      return reflection->SetUInt64(message, field, field->default_value_uint64());
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return reflection->SetDouble(message, field, field->default_value_double());
    case FieldDescriptor::CPPTYPE_FLOAT:
      return reflection->SetFloat(message, field, field->default_value_float());
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection->SetBool(message, field, field->default_value_bool());
    case FieldDescriptor::CPPTYPE_ENUM:
      return reflection->SetEnum(message, field, field->default_value_enum());
    case FieldDescriptor::CPPTYPE_STRING:
      return reflection->SetString(message, field, field->default_value_string());
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return;
  }
}

// Writes the schema's [default = ...] into every message that is there.
void FillSchemaDefaults(Message* message) {
  const Reflection* reflection = message->GetReflection();
  for (int i = 0; i < message->GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor* field = message->GetDescriptor()->field(i);
    if (field->message_type() != nullptr && field->is_repeated()) {
      const int size = reflection->FieldSize(*message, field);
      for (int k = 0; k < size; ++k)
        FillSchemaDefaults(reflection->MutableRepeatedMessage(message, field, k));
    } else if (field->message_type() != nullptr) {
      if (reflection->HasField(*message, field))
        FillSchemaDefaults(reflection->MutableMessage(message, field));
    } else if (!field->is_repeated() && field->has_default_value() && field->containing_oneof() == nullptr &&
               !reflection->HasField(*message, field)) {
      SetToDefault(message, field);
    }
  }
}

// The defaults that depend on other fields of the same layer.
void FillLayerDefaults(LayerList* list) {
  for (Layer& layer : *list->mutable_layer()) {
    if (layer.has_residual()) FillLayerDefaults(layer.mutable_residual()->mutable_block());
    if (layer.has_repeat()) FillLayerDefaults(layer.mutable_repeat()->mutable_block());
    if (layer.has_conv2d() && !layer.conv2d().has_padding()) {
      const int64_t padding = (int64_t{layer.conv2d().kernel()} - 1) * layer.conv2d().dilation() / 2;
      layer.mutable_conv2d()->set_padding(static_cast<int32_t>(std::clamp<int64_t>(padding, 0, kMostInt32)));
    }
    PoolLayer* pool = layer.has_max_pool()   ? layer.mutable_max_pool()
                      : layer.has_avg_pool() ? layer.mutable_avg_pool()
                                             : nullptr;
    if (pool != nullptr && !pool->has_stride()) pool->set_stride(pool->size());
  }
}

int32_t Classes(const DataConfig& data) {
  return data.has_synthetic() ? data.synthetic().classes() : data.label().classes();
}

int64_t InputLength(const DataConfig& data) {
  if (data.has_text()) return data.text().length();
  return data.synthetic().shape_size() > 0 ? data.synthetic().shape(0) : 0;
}

// Compression that compresses nothing is none: one recipe, one text.
void DropIdleCompression(RunConfig* config) {
  const CompressionConfig& compression = config->compression();
  const bool full = compression.has_wire() && compression.wire() == FP32;
  if (full || compression.method_case() == CompressionConfig::METHOD_NOT_SET) config->clear_compression();
}

// The section of the registry's model that `name` says is read is made, and what follows from the data is
// filled in.
void FillModel(const DataConfig& data, ModelConfig* model) {
  const int32_t classes = Classes(data);
  if (model->has_layers()) return FillLayerDefaults(model->mutable_layers());
  if (model->name() == "mlp") {
    MlpConfig* mlp = model->mutable_mlp();
    if (!mlp->has_outputs() && classes > 0) mlp->set_outputs(classes);
  } else if (model->name() == "resnet18") {
    ResnetConfig* resnet = model->mutable_resnet();
    if (!resnet->has_classes() && classes > 0) resnet->set_classes(classes);
  } else if (model->name() == "gpt") {
    GptConfig* gpt = model->mutable_gpt();
    if (!gpt->has_vocabulary() && data.text().vocabulary() > 0) gpt->set_vocabulary(data.text().vocabulary());
    if (!gpt->has_context() && InputLength(data) > 0)
      gpt->set_context(static_cast<int32_t>(std::min(InputLength(data), kMostInt32)));
  }
}

// Over MPI ranks do not see each other's progress, so every wait for a rank that works must end within this.
void FillDeadline(CommConfig* comm) {
  constexpr double kMpiSeconds = 60;
  const bool over_mpi = comm->backend() == "mpi" || comm->between() == "mpi";
  if (over_mpi && !comm->has_deadline_seconds()) comm->set_deadline_seconds(kMpiSeconds);
}

// What is the same with and without being said: one recipe, one text.
void DropIdleOrder(RunConfig* config) {
  DataConfig* data = config->mutable_data();
  if (data->order() == BLOCK_SHUFFLE) data->mutable_block_shuffle();
  if (data->last_batch() == DataConfig::STRADDLE) data->clear_last_batch();
  if (data->damaged().policy() == DamagedRecords::FAIL) data->clear_damaged();
  if (config->eval().last_batch() == EvalConfig::PAD && config->has_eval())
    config->mutable_eval()->clear_last_batch();
}

std::string Print(const Message& message) {
  TextFormat::Printer printer;
  printer.SetUseUtf8StringEscaping(true);
  printer.SetUseShortRepeatedPrimitives(true);
  std::string text;
  printer.PrintToString(message, &text);
  return text;
}

using Flat = std::vector<std::pair<std::string, std::string>>;

void Flatten(const Message& message, const std::string& prefix, Flat* flat) {
  const Reflection* reflection = message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  if (fields.empty() && !prefix.empty()) flat->emplace_back(prefix, "{}");
  for (const FieldDescriptor* field : fields) {
    const std::string path = absl::StrCat(prefix, prefix.empty() ? "" : ".", field->name());
    const int size = field->is_repeated() ? reflection->FieldSize(message, field) : 1;
    for (int i = 0; i < size; ++i) {
      const std::string entry = field->is_repeated() ? absl::StrCat(path, "[", i, "]") : path;
      if (field->message_type() != nullptr) {
        Flatten(field->is_repeated() ? reflection->GetRepeatedMessage(message, field, i)
                                     : reflection->GetMessage(message, field),
                entry, flat);
        continue;
      }
      std::string value;
      TextFormat::PrintFieldValueToString(message, field, field->is_repeated() ? i : -1, &value);
      flat->emplace_back(entry, value);
    }
  }
}

}  // namespace

RunConfig ResolveConfig(RunConfig config) {
  if (config.loss().kind_case() == LossConfig::KIND_NOT_SET) config.mutable_loss()->mutable_cross_entropy();
  if (config.optimizer().kind_case() == OptimizerConfig::KIND_NOT_SET)
    config.mutable_optimizer()->mutable_adamw();
  if (config.schedule().kind_case() == ScheduleConfig::KIND_NOT_SET)
    config.mutable_schedule()->mutable_constant();
  config.mutable_numerics();
  FillDeadline(config.mutable_execution()->mutable_comm());
  config.mutable_execution()->mutable_checkpoint();
  config.mutable_execution()->mutable_integrity();
  if (config.data().has_text() && !config.data().text().has_stride()) {
    config.mutable_data()->mutable_text()->set_stride(config.data().text().length());
  }
  if (config.has_model()) FillModel(config.data(), config.mutable_model());
  DropIdleCompression(&config);
  if (config.has_data()) DropIdleOrder(&config);
  FillSchemaDefaults(&config);
  return config;
}

std::string ConfigText(const RunConfig& config) { return Print(config); }

std::string RecipeText(const RunConfig& config) {
  RunConfig recipe = ResolveConfig(config);
  recipe.clear_execution();
  // What the files hold is compared by fingerprint; where they lie today decides no bit.
  if (recipe.has_data()) {
    recipe.mutable_data()->clear_train();
    for (MixturePart& part : *recipe.mutable_data()->mutable_mixture()) part.clear_train();
    recipe.mutable_data()->clear_eval();
    if (recipe.data().has_text()) recipe.mutable_data()->mutable_text()->clear_tokenizer();
    if (recipe.data().has_columns()) recipe.mutable_data()->mutable_columns()->clear_statistics();
    recipe.mutable_data()->clear_compression();  // nor does how they are packed
  }
  return Print(recipe);
}

std::string RecipeHash(const RunConfig& config) { return Sha256Hex(RecipeText(config)); }

std::vector<std::pair<std::string, std::string>> FlattenConfig(const RunConfig& config) {
  Flat flat;
  Flatten(config, "", &flat);
  return flat;
}

int64_t HorizonSteps(const RunConfig& config, int64_t epoch) {
  if (config.has_steps()) return std::max<int64_t>(1, config.steps());
  const double steps = config.epochs() * static_cast<double>(epoch) / std::max(1, config.global_batch());
  // Where decimal epochs meet a whole number of steps, as 1.1 * 10, binary rounding must not add a step.
  const double whole = std::ceil(steps * (1 - 1e-12));
  return static_cast<int64_t>(std::clamp(whole, 1.0, 9e15));
}

absl::StatusOr<std::string> LocateConfigPath(const std::string& path, const std::string& config_path,
                                             FileSystem* fs) {
  if (data::IsRemote(path)) return path;
  ASSIGN_OR_RETURN(const std::vector<std::string> names, data::ExpandBraces(path));
  const absl::Status here = Glob(fs, names.front()).status();
  if (here.ok()) return path;
  if (absl::IsInvalidArgument(here)) return ConfigError(here.message());
  if (path.empty() || path[0] == '/') return DataError(absl::StrCat("no file matches '", path, "'"));
  const std::string beside = JoinPath(ParentFolder(config_path), path);
  ASSIGN_OR_RETURN(const std::vector<std::string> names_beside, data::ExpandBraces(beside));
  if (Glob(fs, names_beside.front()).ok()) return beside;
  return DataError(absl::StrCat("no file matches '", path, "' (from the working directory), nor '", beside,
                                "' (from the configuration's folder)"));
}

}  // namespace lockstep::train
