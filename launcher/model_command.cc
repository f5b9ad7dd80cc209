#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "launcher/command.h"
#include "runtime/core/file_system.h"
#include "runtime/graph/lane_program.h"
#include "runtime/nn/build_model.h"
#include "runtime/nn/models/builtin.h"
#include "runtime/train/config.h"
#include "runtime/train/feed.h"
#include "runtime/train/feed_features.h"

namespace lockstep::launcher {
namespace {

constexpr char kFooter[] =
    "A model by name is described for made-up data: --input and --classes or --vocabulary say of what "
    "shape.\n"
    "Examples:\n"
    "  lockstep model describe examples/digits_cnn.textproto\n"
    "  lockstep model describe gpt --input 256 --vocabulary 256 --set model.gpt.layers=12\n"
    "  lockstep model describe resnet18 --input 32,32,3 --classes 10 --micro-batch 16";

constexpr int kTextVocabulary = 256;  // bytes

struct DescribeFlags {
  std::string what;
  std::vector<int64_t> input;
  int classes = 0, vocabulary = 0;
  int64_t micro_batch = 0;
  std::vector<std::string> settings;
  bool operators = false;
};

nn::DataSpec TokensSpec(const Shape& shape, int64_t vocabulary) {
  const TensorType ids{DType::kI32, shape};
  return {
      .input = {"tokens", ids}, .label = {"targets", ids}, .classes = vocabulary, .vocabulary = vocabulary};
}

// What the data will be, as far as a valid configuration says without opening it.
absl::StatusOr<nn::DataSpec> SpecOf(const DataConfig& data) {
  if (data.has_text()) {
    const int64_t vocabulary = data.text().has_vocabulary() ? data.text().vocabulary() : kTextVocabulary;
    return TokensSpec(Shape({data.text().length()}), vocabulary);
  }
  nn::DataSpec spec;
  spec.label = {"label", {DType::kI64, Shape()}};
  if (data.has_synthetic()) {
    ASSIGN_OR_RETURN(const Shape shape, Shape::FromDims(data.synthetic().shape()));
    if (data.synthetic().vocabulary() > 0) return TokensSpec(shape, data.synthetic().vocabulary());
    spec.input = {"input", {DType::kF32, shape}};
    spec.classes = data.synthetic().classes();
    return spec;
  }
  const std::vector<int64_t> image(data.image().shape().begin(), data.image().shape().end());
  const std::vector<int64_t> input(data.input().shape().begin(), data.input().shape().end());
  ASSIGN_OR_RETURN(const Shape shape, Shape::FromDims(data.has_image() ? image : input));
  ASSIGN_OR_RETURN(const Shape target, Shape::FromDims(data.label().shape()));
  spec.input = {data.has_image() ? "image" : data.input().feature(),
                {train::TypeOfInput(data.input()), shape}};
  spec.label.name = data.label().feature();
  spec.classes = data.label().classes();
  if (spec.classes == 0) spec.label.type = {DType::kF32, target};
  return spec;
}

// A configuration around a model's bare name.
absl::StatusOr<RunConfig> ConfigAround(const DescribeFlags& flags, const nn::ModelRegistry& models) {
  RETURN_IF_ERROR(models.Find(flags.what).status());
  std::vector<int64_t> input = flags.input;
  const bool is_gpt = flags.what == "gpt";
  if (input.empty() && flags.what == "resnet18") input = {32, 32, 3};
  if (input.empty() && flags.what == "mlp") input = {784};
  if (input.empty() && is_gpt) input = {256};
  if (input.empty())
    return ConfigError("--input is required: the shape of one sample, for example --input 64,64,3");
  RunConfig config;
  config.mutable_model()->set_name(flags.what);
  SyntheticData* data = config.mutable_data()->mutable_synthetic();
  for (const int64_t dimension : input) data->add_shape(dimension);
  if (flags.vocabulary > 0 || (is_gpt && flags.classes == 0)) {
    data->set_vocabulary(flags.vocabulary > 0 ? flags.vocabulary : kTextVocabulary);
  } else {
    data->set_classes(flags.classes > 0 ? flags.classes : 10);
  }
  config.set_lanes(1);
  config.set_global_batch(8);
  config.set_steps(1);
  for (const std::string& setting : flags.settings) RETURN_IF_ERROR(train::ApplySetting(&config, setting));
  return config;
}

bool IsFile(const std::string& what) {
  return absl::StrContains(what, '/') || absl::EndsWith(what, ".textproto") || RealFileSystem()->Exists(what);
}

std::string Size(double bytes) {
  return bytes < (1 << 20) ? absl::StrFormat("%.1f KiB", bytes / 1024)
                           : absl::StrFormat("%.1f MiB", bytes / (1 << 20));
}

std::string Work(double flops) {
  return flops < 1e9 ? absl::StrFormat("%.3f MFLOP", flops / 1e6)
                     : absl::StrFormat("%.3f GFLOP", flops / 1e9);
}

void PrintProgram(const graph::LaneProgram& train, const graph::LaneProgram& evaluate, bool operators) {
  const graph::ParameterLayout& layout = train.parameter_layout();
  size_t width = 0;
  for (const auto& entry : layout.entries) width = std::max(width, entry.name.size());
  std::cout << "parameters:\n";
  // The layout is in the order of backward; people read forward.
  for (auto entry = layout.entries.rbegin(); entry != layout.entries.rend(); ++entry) {
    std::cout << absl::StrFormat("  %-*s  %-18s %12d\n", static_cast<int>(width), entry->name,
                                 entry->shape.ToString(), entry->elements);
  }
  for (const auto& entry : train.state_layout().entries) {
    std::cout << absl::StrFormat("  %-*s  %-18s %12d  (state, not trained)\n", static_cast<int>(width),
                                 entry.name, entry.shape.ToString(), entry.elements);
  }
  std::cout << absl::StrFormat("total: %d trained parameters in %d tensors\n", layout.parameter_elements,
                               layout.entries.size());
  std::cout << "micro-batch: " << train.micro_batch() << " samples\n";
  std::cout << absl::StrFormat("operators: %d forward and backward, %d forward\n", train.num_operators(),
                               evaluate.num_operators());
  std::cout << "work of a sample: " << Work(train.flops() / train.micro_batch()) << " forward and backward, "
            << Work(evaluate.flops() / evaluate.micro_batch())
            << " forward (matrix products and convolutions)\n";
  std::cout << "memory: parameters and each gradient buffer " << Size(layout.total_elements * sizeof(float))
            << ", workspace of a lane thread " << Size(train.arena_bytes()) << " (evaluation "
            << Size(evaluate.arena_bytes()) << ")\n";
  if (operators) std::cout << "\n" << train.Describe();
}

absl::Status Describe(const DescribeFlags& flags, const nn::ModelRegistry* given) {
  const nn::ModelRegistry builtin = nn::BuiltinModels();
  const nn::ModelRegistry& models = given != nullptr ? *given : builtin;
  absl::StatusOr<RunConfig> loaded =
      IsFile(flags.what) ? train::LoadConfig(flags.what, flags.settings) : ConfigAround(flags, models);
  ASSIGN_OR_RETURN(RunConfig config, std::move(loaded));
  RETURN_IF_ERROR(train::ValidateConfig(config, /*world_size=*/0));
  config = train::ResolveConfig(config);
  int64_t micro_batch = config.global_batch() / config.lanes() / config.accumulate();
  if (flags.micro_batch > 0) micro_batch = flags.micro_batch;
  nn::DataSpec spec;
  if (config.data().has_columns() || config.data().extra_size() > 0) {  // only the data says what comes of it
    ASSIGN_OR_RETURN(const auto feed, train::Feed::Open(config, flags.what, RealFileSystem()));
    spec = feed->facts().spec;
  } else {
    ASSIGN_OR_RETURN(spec, SpecOf(config.data()));
  }
  ASSIGN_OR_RETURN(const graph::Graph graph,
                   nn::BuildModel(config.model(), config.loss(), spec, micro_batch, models));
  graph::CompileOptions options;
  ASSIGN_OR_RETURN(const auto train, graph::Compile(graph, options));
  options.mode = graph::Mode::kEvaluate;
  options.layout = train->parameter_layout_ptr();
  ASSIGN_OR_RETURN(const auto evaluate, graph::Compile(graph, options));
  std::cout << "model: " << (config.model().has_name() ? config.model().name() : "a list of layers") << "\n";
  for (const graph::Input& input : train->inputs()) {
    std::cout << "input '" << input.name << "': " << input.type.ToString() << "\n";
  }
  PrintProgram(*train, *evaluate, flags.operators);
  return absl::OkStatus();
}

}  // namespace

void AddModelCommand(CLI::App& app, CommandContext& context) {
  auto flags = std::make_shared<DescribeFlags>();
  CLI::App* model = app.add_subcommand("model", "Look at models");
  model->require_subcommand(1);
  model->footer("Example:\n  lockstep model describe examples/digits_cnn.textproto");
  CLI::App* command = model->add_subcommand("describe", "Print a model's parameters, work and memory");
  command->add_option("what", flags->what, "A run configuration, or the name of a model")
      ->required()
      ->type_name("FILE|NAME");
  command->add_option("--input", flags->input, "With NAME: shape of one sample's input, without the batch")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("H,W,C");
  command->add_option("--classes", flags->classes, "With NAME: number of classes (default: 10)")
      ->type_name("N");
  command
      ->add_option("--vocabulary", flags->vocabulary,
                   "With NAME: the input is token ids below this (gpt: 256)")
      ->type_name("N");
  command
      ->add_option("--micro-batch", flags->micro_batch,
                   "Samples of one lane's pass (default: as configured; NAME: 8)")
      ->type_name("N");
  command->add_option("--set", flags->settings, "Override one field of the configuration; may be given again")
      ->allow_extra_args(false)
      ->type_name("field.path=value");
  command->add_flag("--operators", flags->operators, "List the operators of the compiled program as well");
  command->footer(kFooter);
  context.OnRun(command, [flags, &context] { return Describe(*flags, context.models); });
}

}  // namespace lockstep::launcher
