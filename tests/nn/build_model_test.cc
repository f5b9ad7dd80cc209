#include "runtime/nn/build_model.h"

#include <algorithm>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "proto/run_config.pb.h"
#include "runtime/nn/layers.h"
#include "runtime/nn/models/builtin.h"

namespace lockstep::nn {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

DataSpec Images(const Shape& shape, int64_t classes) {
  return {
      .input = {"image", {DType::kF32, shape}}, .label = {"label", {DType::kI64, {}}}, .classes = classes};
}

DataSpec Tokens(int64_t length, int64_t vocabulary) {
  return {.input = {"ids", {DType::kI64, {length}}},
          .label = {"next", {DType::kI64, {length}}},
          .classes = vocabulary,
          .vocabulary = vocabulary};
}

absl::StatusOr<graph::Graph> Build(const std::string& model, const DataSpec& data,
                                   const std::string& loss = "",
                                   const ModelRegistry& registry = BuiltinModels()) {
  ModelConfig model_config;
  LossConfig loss_config;
  if (!google::protobuf::TextFormat::ParseFromString(model, &model_config) ||
      !google::protobuf::TextFormat::ParseFromString(loss, &loss_config)) {
    return absl::InternalError("the test's configuration does not parse");
  }
  return BuildModel(model_config, loss_config, data, 4, registry);
}

std::string Mistake(const absl::StatusOr<graph::Graph>& graph) {
  EXPECT_EQ(ExitCodeOf(graph.status()), 2) << graph.status();
  return std::string(graph.status().message());
}

std::vector<std::string> ParameterNames(const graph::Graph& graph) {
  std::vector<std::string> names;
  for (const graph::Parameter& parameter : graph.parameters) names.push_back(parameter.name);
  return names;
}

int64_t Elements(const graph::Graph& graph) {
  int64_t sum = 0;
  for (const graph::Parameter& parameter : graph.parameters) sum += parameter.shape.NumElements();
  return sum;
}

TEST(BuildModel, Mlp) {
  const auto graph = Build("name: 'mlp' mlp { hidden: [32, 16] dropout: 0.1 }", Images({8, 8, 1}, 10));
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_THAT(ParameterNames(*graph), ElementsAre("hidden.0.weight", "hidden.0.bias", "hidden.1.weight",
                                                  "hidden.1.bias", "output.weight", "output.bias"));
  ASSERT_EQ(graph->inputs.size(), 2u);
  EXPECT_EQ(graph->inputs[0].name, "image");
  EXPECT_EQ(graph->inputs[0].type.shape, (Shape{4, 8, 8, 1}));
  ASSERT_EQ(graph->metrics.size(), 1u);
  EXPECT_EQ(graph->metrics[0].name, "accuracy");
  ASSERT_EQ(graph->outputs.size(), 1u);
  EXPECT_EQ(graph->outputs[0].name, "output");
}

TEST(BuildModel, Resnet18IsTorchvisionsButForTheStem) {
  const auto graph = Build("name: 'resnet18'", Images({32, 32, 3}, 10));
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(Elements(*graph), 11173962);  // of the CIFAR variant with 10 classes
  const std::vector<std::string> names = ParameterNames(*graph);
  for (const char* name :
       {"conv1.weight", "bn1.bias", "layer1.0.conv1.weight", "layer2.0.downsample.0.weight",
        "layer4.0.downsample.1.bias", "layer4.1.bn2.weight", "fc.bias"}) {
    EXPECT_THAT(names, Contains(name));
  }
  EXPECT_EQ(names.size(), 62u);
  EXPECT_EQ(graph->states.size(), 40u);
}

TEST(BuildModel, GptIsGpt2) {
  const auto graph =
      Build("name: 'gpt' gpt { layers: 12 width: 768 heads: 12 vocabulary: 50257 context: 1024 }",
            Tokens(16, 50257));
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(Elements(*graph), 124439808);
  const std::vector<std::string> names = ParameterNames(*graph);
  for (const char* name : {"transformer.wte.weight", "transformer.wpe.weight", "transformer.h.0.ln_1.weight",
                           "transformer.h.0.attn.c_attn.weight", "transformer.h.11.attn.c_proj.bias",
                           "transformer.h.3.ln_2.bias", "transformer.h.3.mlp.c_fc.weight",
                           "transformer.h.3.mlp.c_proj.weight", "transformer.ln_f.weight"}) {
    EXPECT_THAT(names, Contains(name));
  }
  EXPECT_EQ(names.size(), 148u);
}

TEST(BuildModel, GptUntiedWithRotaryPositions) {
  const auto graph =
      Build("name: 'gpt' gpt { layers: 1 width: 8 heads: 2 positions: ROTARY tied: false }", Tokens(6, 256));
  ASSERT_TRUE(graph.ok()) << graph.status();
  const std::vector<std::string> names = ParameterNames(*graph);
  EXPECT_THAT(names, Contains("lm_head.weight"));
  EXPECT_THAT(names, ::testing::Not(Contains("transformer.wpe.weight")));
}

TEST(BuildModel, UnknownNameSuggestsTheNearest) {
  EXPECT_THAT(Mistake(Build("name: 'resnet81'", Images({8, 8, 1}, 10))),
              HasSubstr("did you mean 'resnet18'"));
}

TEST(BuildModel, NameAndLayersExcludeEachOther) {
  EXPECT_THAT(Mistake(Build("", Images({8}, 2))), HasSubstr("either a name or layers"));
  EXPECT_THAT(Mistake(Build("name: 'mlp' layers { layer { relu {} } }", Images({8}, 2))), HasSubstr("both"));
}

TEST(BuildModel, LayersAreNamedByPlace) {
  const auto graph = Build(R"(layers {
      layer { repeat { times: 2 block { layer { conv2d { channels: 4 kernel: 3 } } layer { relu {} } } } }
      layer { residual { block { layer { batch_norm {} } layer { conv2d { channels: 4 kernel: 1 bias: false } } } } }
      layer { flatten {} } layer { linear { features: 3 } } })",
                           Images({4, 4, 1}, 3));
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_THAT(ParameterNames(*graph),
              ElementsAre("0.repeat.0.0.conv2d.weight", "0.repeat.0.0.conv2d.bias",
                          "0.repeat.1.0.conv2d.weight", "0.repeat.1.0.conv2d.bias",
                          "1.residual.0.batch_norm.weight", "1.residual.0.batch_norm.bias",
                          "1.residual.1.conv2d.weight", "3.linear.weight", "3.linear.bias"));
}

struct BadLayers {
  const char* name;
  const char* layers;  // over images of 4x4 with 3 channels
  const char* error;
};

class BuildModelBadLayers : public ::testing::TestWithParam<BadLayers> {};

TEST_P(BuildModelBadLayers, NamesTheLayerAndTheShapes) {
  const std::string error =
      Mistake(Build(std::string("layers { ") + GetParam().layers + " }", Images({4, 4, 3}, 5)));
  EXPECT_EQ(error.rfind(GetParam().error, 0), 0u) << error << "\n" << GetParam().error;
}

INSTANTIATE_TEST_SUITE_P(
    All, BuildModelBadLayers,
    ::testing::Values(
        BadLayers{"Kernel", "layer { relu {} } layer { conv2d { channels: 2 kernel: 5 padding: 0 } }",
                  "model.layers.layer[1].conv2d: kernel 5 is larger than the 4x4 input (padding 0)"},
        BadLayers{"Pool", "layer { max_pool { size: 2 } } layer { max_pool { size: 3 } }",
                  "model.layers.layer[1].max_pool: size 3 is larger than the 2x2 input"},
        BadLayers{
            "ConvAfterFlatten", "layer { flatten {} } layer { conv2d { channels: 2 kernel: 3 } }",
            "model.layers.layer[1].conv2d: wants an image [height, width, channels]; its input is [48]"},
        BadLayers{"Residual", "layer { residual { block { layer { conv2d { channels: 4 kernel: 3 } } } } }",
                  "model.layers.layer[0].residual: its block turns [4, 4, 3] into [4, 4, 4]"},
        BadLayers{
            "InsideRepeat", "layer { repeat { times: 3 block { layer { max_pool { size: 2 } } } } }",
            "model.layers.layer[0].repeat.block.layer[0].max_pool: size 2 is larger than the 1x1 input"},
        BadLayers{"Reshape", "layer { reshape { shape: [5, -1] } }",
                  "model.layers.layer[0].reshape: reshape of F32[4, 4, 3]"},
        BadLayers{
            "Embedding", "layer { embedding { rows: 5 width: 4 } }",
            "model.layers.layer[0].embedding: an embedding wants integer ids; its input is F32[4, 4, 3]"},
        BadLayers{"NoKind", "layer { relu {} } layer { }", "model.layers.layer[1]: says no kind of layer"},
        BadLayers{"Empty", "", "model.layers: there are no layers in it"},
        BadLayers{"EmptyBlock", "layer { residual { } }",
                  "model.layers.layer[0].residual.block: there are no layers"},
        BadLayers{"Heads", "layer { reshape { shape: [16, 3] } } layer { attention { heads: 2 } }",
                  "model.layers.layer[1].attention: heads 2 must divide the width 3"},
        BadLayers{"TooMany",
                  "layer { repeat { times: 200 block { layer { repeat { times: 200 block { layer { relu {} } "
                  "} } } } } }",
                  "model.layers.layer[0].repeat.block.layer[0].repeat.block.layer[0].relu: these are more "
                  "than 10000"},
        BadLayers{"Huge",
                  "layer { flatten {} } layer { linear { features: 2147483647 } } layer { linear { features: "
                  "2147483647 } }",
                  "model.layers.layer[2].linear: its weight would be [2147483647, 2147483647]: too large"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(BuildModel, NestedTooDeep) {
  std::string text = "layer { relu {} }";
  for (int i = 0; i < 101; ++i) text = "layer { residual { block { " + text + " } } }";
  ModelConfig model;  // built by hand: the text parser has a limit of its own
  google::protobuf::TextFormat::Parser parser;
  parser.SetRecursionLimit(1000);
  ASSERT_TRUE(parser.ParseFromString("layers { " + text + " }", &model));
  EXPECT_THAT(Mistake(BuildModel(model, LossConfig(), Images({4}, 2), 4, BuiltinModels())),
              HasSubstr("nested more than 100"));
}

TEST(BuildModel, LogitsThatDoNotFitTheClasses) {
  const std::string error = Mistake(
      Build("layers { layer { flatten {} } layer { linear { features: 12 } } }", Images({4, 4, 3}, 5)));
  EXPECT_THAT(error, HasSubstr("gives 12 logits, but the label has 5 classes"));
}

TEST(BuildModel, OutputThatDoesNotFitTheLabels) {
  const std::string error =
      Mistake(Build("layers { layer { linear { features: 5 } } }", Images({4, 4, 3}, 5)));
  EXPECT_THAT(error, HasSubstr("the model's output is [4, 4, 5], but labels of shape []"));
}

TEST(BuildModel, CrossEntropyAgainstFloats) {
  DataSpec data = Images({6}, 0);
  data.label.type = {DType::kF32, {2}};
  EXPECT_THAT(Mistake(Build("name: 'mlp'", data)), HasSubstr("loss.cross_entropy wants integer labels"));
}

TEST(BuildModel, RegressionOfAScalar) {
  DataSpec data = Images({6}, 0);
  data.label.type = {DType::kF32, {}};
  const auto graph = Build("name: 'mlp' mlp { hidden: 4 }", data, "mean_squared_error {}");
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_TRUE(graph->metrics.empty());
  EXPECT_EQ(graph->loss.size(), 1u);
}

TEST(BuildModel, SquaredErrorAgainstClasses) {
  EXPECT_THAT(Mistake(Build("name: 'mlp'", Images({6}, 3), "mean_squared_error {}")),
              HasSubstr("use cross_entropy"));
}

TEST(BuildModel, OutputsUnknown) {
  DataSpec data = Images({6}, 0);
  EXPECT_THAT(Mistake(Build("name: 'mlp'", data)), HasSubstr("model.mlp.outputs is needed"));
}

TEST(BuildModel, GptAgainstItsData) {
  EXPECT_THAT(Mistake(Build("name: 'gpt' gpt { vocabulary: 100 }", Tokens(6, 256))),
              HasSubstr("model.gpt.vocabulary is 100, but the data has 256"));
  EXPECT_THAT(Mistake(Build("name: 'gpt' gpt { context: 4 }", Tokens(6, 256))),
              HasSubstr("shorter than the input of 6"));
  EXPECT_THAT(Mistake(Build("name: 'gpt' gpt { width: 10 heads: 4 }", Tokens(6, 256))),
              HasSubstr("must divide width 10"));
  EXPECT_THAT(Mistake(Build("name: 'gpt'", Images({8, 8, 1}, 10))), HasSubstr("wants token ids"));
}

TEST(BuildModel, ParametersOfAModelThatHasNone) {
  EXPECT_THAT(Mistake(Build("name: 'mlp' param { name: 'blocks' number: 3 }", Images({6}, 3))),
              HasSubstr("this model has no parameters"));
}

void PartNet(graph::Builder& b, const ModelParams& params) {
  graph::Tensor x = b.Input("image", DType::kF32, {8, 8, 1});
  const graph::Tensor label = b.Input("label", DType::kI64, {});
  for (int64_t i = 0; i < params.Int("blocks", 2); ++i) {
    auto scope = b.Scope("block", i);
    x = b.Relu(Conv2d(b, "conv", x, 4, 3));
  }
  b.Loss(b.CrossEntropy(Linear(b, "fc", b.GlobalAvgPool(x), 10), label));
}

TEST(BuildModel, ModelOfAUser) {
  ModelRegistry registry = BuiltinModels();
  ASSERT_TRUE(registry.AddModel("part_net", PartNet).ok());
  const auto graph =
      Build("name: 'part_net' param { name: 'blocks' number: 3 }", Images({8, 8, 1}, 10), "", registry);
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_THAT(ParameterNames(*graph), Contains("block.2.conv.weight"));
  EXPECT_THAT(Mistake(Build("name: 'part_net' param { name: 'block' number: 3 }", Images({8, 8, 1}, 10), "",
                            registry)),
              HasSubstr("did you mean 'blocks'"));
  EXPECT_THAT(Mistake(Build("name: 'part_net'", Images({9, 8, 1}, 10), "", registry)),
              HasSubstr("reads 'image' as F32[4, 8, 8, 1], but the data gives F32[4, 9, 8, 1]"));
  DataSpec data = Images({8, 8, 1}, 10);
  data.input.name = "picture";
  EXPECT_THAT(Mistake(Build("name: 'part_net'", data, "", registry)),
              HasSubstr("reads 'image', but the data has only 'picture' and 'label'"));
}

TEST(BuildModel, NetworkOfAUser) {
  ModelRegistry registry = BuiltinModels();
  ASSERT_TRUE(registry
                  .AddNetwork("straight",
                              [](graph::Builder& b, graph::Tensor x, const NetworkRequest& request) {
                                return Linear(b, "fc", x, request.data.classes);
                              })
                  .ok());
  const auto graph = Build("name: 'straight'", Images({6}, 3), "", registry);
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(graph->loss.size(), 1u);
}

std::vector<std::string> InputNames(const graph::Graph& graph) {
  std::vector<std::string> names;
  for (const graph::Input& input : graph.inputs) names.push_back(input.name);
  return names;
}

TEST(BuildModel, MixedLabelsAndMasksAreRead) {
  DataSpec mixed = Images({8, 8, 1}, 10);
  mixed.mixed = true;
  const auto mixing = Build("name: 'mlp' mlp { outputs: 10 }", mixed);
  ASSERT_TRUE(mixing.ok()) << mixing.status();
  EXPECT_THAT(InputNames(*mixing), ElementsAre("image", "label", "label.other", "label.share"));
  EXPECT_EQ(mixing->loss.size(), 2u);
  DataSpec packed = Tokens(8, 20);
  packed.mask = "next.mask";
  const auto masking =
      Build("name: 'gpt' gpt { layers: 1 width: 8 heads: 2 vocabulary: 20 context: 8 }", packed);
  ASSERT_TRUE(masking.ok()) << masking.status();
  EXPECT_THAT(InputNames(*masking), Contains("next.mask"));
}

TEST(BuildModel, AWholeModelThatOverlooksThemIsRefused) {
  ModelRegistry registry;
  ASSERT_TRUE(registry
                  .AddModel("whole",
                            [](graph::Builder& b, const ModelParams&) {
                              const graph::Tensor x = b.Input("image", DType::kF32, {4});
                              b.Loss(b.CrossEntropy(x, b.Input("label", DType::kI64, {})));
                            })
                  .ok());
  DataSpec mixed = Images({4}, 4);
  mixed.mixed = true;
  mixed.extra = {{"label.other", {DType::kI64, {}}}, {"label.share", {DType::kF32, {}}}};
  EXPECT_THAT(Mistake(Build("name: 'whole'", mixed, "", registry)), HasSubstr("does not read 'label.share'"));
  DataSpec masked = Images({4}, 4);
  masked.mask = "mask";
  EXPECT_THAT(Mistake(Build("name: 'whole'", masked, "", registry)), HasSubstr("does not read 'mask'"));
}

}  // namespace
}  // namespace lockstep::nn
