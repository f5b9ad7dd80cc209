#include "runtime/train/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace lockstep::train {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kDigits[] = R"(
model { layers {
  repeat { times: 2 block { conv2d { channels: 32 kernel: 3 } relu {} max_pool { size: 2 } } }
  flatten {} linear { features: 10 } } }
data {
  train: "train*.tfrecord"  eval: "test.tfrecord"
  input { feature: "image" shape: [8, 8, 1] scale: 0.0625 }
  label { feature: "label" classes: 10 } }
optimizer { adamw { lr: 2e-3 no_decay: "*.bias|*_norm.*" } clip_norm: 1 }
schedule { cosine { warmup_steps: 50 } }
lanes: 8  global_batch: 64  epochs: 30  seed: 1
eval { every_epochs: 1 metric: "accuracy" }
execution { checkpoint { every_minutes: 5 keep_last: 3 } }
)";

RunConfig Digits() { return ParseConfig(kDigits, "digits").value(); }

std::string ParseErrorOf(const std::string& text) {
  const auto config = ParseConfig(text, "run.textproto");
  if (config.ok()) return "parsed";
  EXPECT_EQ(ExitCodeOf(config.status()), 2);
  return std::string(config.status().message());
}

std::string SetErrorOf(const std::string& setting) {
  RunConfig config = Digits();
  const std::string before = config.SerializeAsString();
  const absl::Status status = ApplySetting(&config, setting);
  EXPECT_EQ(config.SerializeAsString(), before) << "a refused setting must change nothing";
  EXPECT_EQ(ExitCodeOf(status), 2);
  return std::string(status.message());
}

// What validation says of the digits run after `settings`.
std::string ValidateAfter(const std::vector<std::string>& settings, int world_size = 0) {
  RunConfig config = Digits();
  for (const std::string& setting : settings) EXPECT_TRUE(ApplySetting(&config, setting).ok()) << setting;
  const absl::Status status = ValidateConfig(config, world_size);
  EXPECT_EQ(status, ValidateConfig(ResolveConfig(config), world_size))
      << "resolving must not change the verdict";
  return status.ok() ? "valid" : std::string(status.message());
}

TEST(ParseConfig, UnknownFieldNamesPlaceMessageAndNearest) {
  EXPECT_THAT(ParseErrorOf("lanes: 8\n  global_bach: 64\n"),
              AllOf(HasSubstr("run.textproto:2:"), HasSubstr("RunConfig has no field 'global_bach'"),
                    HasSubstr("'global_batch'")));
  EXPECT_THAT(ParseErrorOf("model { layers {\n repeat { block {\n conv2d { chanels: 3 } } } } }"),
              AllOf(HasSubstr("run.textproto:3:"), HasSubstr("Conv2dLayer"), HasSubstr("'channels'")));
  EXPECT_THAT(ParseErrorOf("model { layers { convd2 { } } }"),
              AllOf(HasSubstr("LayerList"), HasSubstr("'conv2d'")));
}

TEST(ParseConfig, FieldOfAnotherMessageIsNamedWithItsPath) {
  EXPECT_THAT(ParseErrorOf("warmup_steps: 3"), HasSubstr("schedule.constant.warmup_steps"));
}

TEST(ParseConfig, WrongEnumValueNamesTheValidOnes) {
  EXPECT_THAT(ParseErrorOf("precision: FP23"),
              AllOf(HasSubstr(":1:"), HasSubstr("'precision'"), HasSubstr("FP32")));
  EXPECT_THAT(ParseErrorOf("execution { device: GPU }"), AllOf(HasSubstr("Device"), HasSubstr("CUDA")));
}

TEST(ParseConfig, PlacesAreThoseOfTheWrongWord) {
  EXPECT_THAT(ParseErrorOf("seed: 1\n\tprecision: FP23\n\n\nlanes: 8"), HasSubstr("run.textproto:2:13:"));
  EXPECT_THAT(ParseErrorOf("seed: 1\nfoo\n\n: 8"), HasSubstr("run.textproto:2:1:"));
  EXPECT_THAT(ParseErrorOf("execution { comm { backend: tcp } }"), HasSubstr("quotes"));
}

TEST(ParseConfig, WrongTypesAndDuplicatesAreRefused) {
  EXPECT_THAT(ParseErrorOf("lanes: \"eight\""), AllOf(HasSubstr(":1:"), HasSubstr("integer")));
  EXPECT_THAT(ParseErrorOf("lanes: 8 lanes: 4"), HasSubstr("lanes"));
  EXPECT_THAT(ParseErrorOf("lanes: 99999999999"), HasSubstr("out of range"));
  EXPECT_THAT(ParseErrorOf("optimizer { sgd {} adamw {} }"), HasSubstr("sgd"));
}

TEST(ParseConfig, DeepNestingIsRefusedNotFollowed) {
  std::string text = "model { layers { ";
  for (int i = 0; i < 100000; ++i) text += "residual { block { ";
  EXPECT_THAT(ParseErrorOf(text), AllOf(HasSubstr(":1:"), HasSubstr("nested too deep"), HasSubstr("100")));
}

TEST(ParseConfig, DamagedTextIsRefusedOrParsedButNeverTrusted) {
  const std::string text = kDigits;
  for (size_t i = 0; i < text.size(); ++i) {
    (void)ParseConfig(text.substr(0, i), "prefix");
    std::string damaged = text;
    for (const char byte : {'[', '{', '}', '"', '#', '\0', '\xff', '\t', '9'}) {
      damaged[i] = byte;
      const auto config = ParseConfig(damaged, "damaged");
      if (config.ok()) (void)ValidateConfig(ResolveConfig(*config), 2);
    }
  }
}

std::vector<std::string> Kinds(const LayerList& list) {
  std::vector<std::string> kinds;
  for (const Layer& layer : list.layer()) {
    const auto* oneof = Layer::descriptor()->oneof_decl(0);
    kinds.push_back(layer.GetReflection()->GetOneofFieldDescriptor(layer, oneof)->name());
  }
  return kinds;
}

TEST(LayerOrder, IsTheOrderOfTheFile) {
  const RunConfig config =
      ParseConfig("model { layers { relu {} conv2d {}\tlinear {} relu {} conv2d {} } }", "t").value();
  EXPECT_THAT(Kinds(config.model().layers()),
              testing::ElementsAre("relu", "conv2d", "linear", "relu", "conv2d"));
  EXPECT_EQ(config.model().layers().relu_size(), 0);
}

TEST(LayerOrder, HoldsInsideBlocks) {
  const RunConfig config = Digits();
  const LayerList& layers = config.model().layers();
  EXPECT_THAT(Kinds(layers), testing::ElementsAre("repeat", "flatten", "linear"));
  EXPECT_THAT(Kinds(layers.layer(0).repeat().block()), testing::ElementsAre("conv2d", "relu", "max_pool"));
}

TEST(LayerOrder, CanonicalAndDirectFormsMixByPlace) {
  const RunConfig config = ParseConfig(
                               "model { layers {\n linear { features: 1 }\n layer { residual { block { gelu "
                               "{} tanh {} relu {} } } }\n"
                               " linear { features: 2 }\n layer { relu {} } flatten {} } }",
                               "t")
                               .value();
  const LayerList& layers = config.model().layers();
  EXPECT_THAT(Kinds(layers), testing::ElementsAre("linear", "residual", "linear", "relu", "flatten"));
  EXPECT_EQ(layers.layer(0).linear().features(), 1);
  EXPECT_EQ(layers.layer(2).linear().features(), 2);
  EXPECT_THAT(Kinds(layers.layer(1).residual().block()), testing::ElementsAre("gelu", "tanh", "relu"));
}

TEST(LayerOrder, ListFormWithoutPlacesIsRefused) {
  EXPECT_THAT(
      ParseErrorOf("model { layers {\n relu { }\n linear # all\n : [{ features: 1 }, { features: 2 }] } }"),
      AllOf(HasSubstr("run.textproto:3"), HasSubstr("each layer by itself")));
}

TEST(ApplySetting, SetsScalarsEnumsStringsListsAndMessages) {
  RunConfig config = Digits();
  for (const char* setting :
       {"lanes=16", "reduction=UNORDERED", "data.train=some/x*.tfrecord", "data.eval=\"quoted\"",
        "model.layers.layer[0].repeat.block.layer[0].conv2d.channels=8", "data.input.shape[2]=3",
        "execution.checkpoint={every_steps: 7}", "model.layers.layer[3]=relu {}", "data.input.shape[3]=5"}) {
    EXPECT_EQ(ApplySetting(&config, setting), absl::OkStatus()) << setting;
  }
  EXPECT_EQ(config.lanes(), 16);
  EXPECT_EQ(config.reduction(), UNORDERED);
  EXPECT_EQ(config.data().train(), "some/x*.tfrecord");
  EXPECT_EQ(config.data().eval(), "quoted");
  EXPECT_EQ(config.model().layers().layer(0).repeat().block().layer(0).conv2d().channels(), 8);
  EXPECT_THAT(config.data().input().shape(), testing::ElementsAre(8, 8, 3, 5));
  EXPECT_EQ(config.execution().checkpoint().every_steps(), 7);
  EXPECT_FALSE(config.execution().checkpoint().has_keep_last()) << "a message is replaced as a whole";
  EXPECT_THAT(Kinds(config.model().layers()), testing::ElementsAre("repeat", "flatten", "linear", "relu"));
}

TEST(ApplySetting, ReplacesWholeListsAndKeepsLayerOrder) {
  RunConfig config = Digits();
  ASSERT_TRUE(ApplySetting(&config, "data.input.shape=[4, 4]").ok());
  EXPECT_THAT(config.data().input().shape(), testing::ElementsAre(4, 4));
  ASSERT_TRUE(ApplySetting(&config, "model.layers={ relu {} flatten {} relu {} }").ok());
  EXPECT_THAT(Kinds(config.model().layers()), testing::ElementsAre("relu", "flatten", "relu"));
}

TEST(ApplySetting, AnotherMemberOfAChoiceReplacesTheFirst) {
  RunConfig config = Digits();
  ASSERT_TRUE(ApplySetting(&config, "optimizer.sgd.lr=0.5").ok());
  EXPECT_TRUE(config.optimizer().has_sgd());
  EXPECT_FALSE(config.optimizer().has_adamw());
}

TEST(ApplySetting, ErrorsNameTheSettingAndTheNearestField) {
  EXPECT_THAT(
      SetErrorOf("optimizer.adamw.learning=1"),
      AllOf(HasSubstr("--set optimizer.adamw.learning=1"), HasSubstr("AdamwConfig has no field 'learning'")));
  EXPECT_THAT(SetErrorOf("lane=16"), HasSubstr("'lanes'"));
  EXPECT_THAT(SetErrorOf("exection.threads=1"), HasSubstr("'execution'"));
  EXPECT_THAT(SetErrorOf("precision=FP8"), HasSubstr("FP16"));
  EXPECT_THAT(SetErrorOf("lanes=many"), HasSubstr("integer"));
  EXPECT_THAT(SetErrorOf("lanes"), HasSubstr("field.path=value"));
  EXPECT_THAT(SetErrorOf("lanes=1 seed: 2"), HasSubstr("more than this field"));
  EXPECT_THAT(SetErrorOf("lanes=1 lanes: 2"), HasSubstr("lanes"));
  EXPECT_THAT(SetErrorOf("lanes[0]=1"), HasSubstr("not a list"));
  EXPECT_THAT(SetErrorOf("data.input.shape[9]=1"), HasSubstr("there are 3"));
  EXPECT_THAT(SetErrorOf("data.input.shape[-1]=1"), HasSubstr("index"));
  EXPECT_THAT(SetErrorOf("lanes.x=1"), HasSubstr("no fields"));
  EXPECT_THAT(SetErrorOf("model.layers.conv2d[0].channels=8"), HasSubstr("layer[0].conv2d"));
}

TEST(LoadConfig, SettingsComeOnTopOfTheFile) {
  const std::string path = testing::TempDir() + "/config_test.textproto";
  std::ofstream(path) << kDigits;
  const std::vector<std::string> settings = {"lanes=2", "lanes=4"};
  EXPECT_EQ(LoadConfig(path, settings).value().lanes(), 4);
  EXPECT_THAT(std::string(LoadConfig(path + ".missing", {}).status().message()),
              HasSubstr(path + ".missing"));
  EXPECT_EQ(ExitCodeOf(LoadConfig(path + ".missing", {}).status()), 2);
}

TEST(ResolveConfig, TextIsCompleteAndParsesToTheSame) {
  const RunConfig resolved = ResolveConfig(Digits());
  const RunConfig again = ParseConfig(ConfigText(resolved), "resolved").value();
  EXPECT_EQ(again.SerializeAsString(), resolved.SerializeAsString());
  EXPECT_EQ(ResolveConfig(again).SerializeAsString(), resolved.SerializeAsString());
  EXPECT_TRUE(resolved.has_reduction());
  EXPECT_TRUE(resolved.loss().has_cross_entropy());
  EXPECT_TRUE(resolved.execution().comm().has_backend());
  const LayerList& block = resolved.model().layers().layer(0).repeat().block();
  EXPECT_EQ(block.layer(0).conv2d().padding(), 1);
  EXPECT_EQ(block.layer(2).max_pool().stride(), 2);
  EXPECT_FALSE(resolved.has_ema()) << "what is off when left out stays out";
}

TEST(ResolveConfig, FillsTheNamedModelFromTheData) {
  const RunConfig mlp = ResolveConfig(ParseConfig("model { name: 'mlp' } data { train: 'x' input { feature: "
                                                  "'a' } label { feature: 'b' classes: 7 } }",
                                                  "t")
                                          .value());
  EXPECT_EQ(mlp.model().mlp().outputs(), 7);
  const RunConfig gpt = ResolveConfig(
      ParseConfig("model { name: 'gpt' } data { train: 'x' text { length: 128 } }", "t").value());
  EXPECT_EQ(gpt.model().gpt().context(), 128);
  EXPECT_EQ(gpt.model().gpt().layers(), 6);
  EXPECT_EQ(gpt.data().text().stride(), 128);
  EXPECT_EQ(gpt.model().gpt().vocabulary(), 256);
  const RunConfig tokens = ParseConfig(
                               "model { name: 'gpt' } data { train: 'x' text { length: 128 tokens: true "
                               "vocabulary: 5000 } } global_batch: 8 steps: 1",
                               "t")
                               .value();
  EXPECT_EQ(ResolveConfig(tokens).model().gpt().vocabulary(), 5000);
  EXPECT_TRUE(ValidateConfig(tokens, 0).ok());
  EXPECT_TRUE(ValidateConfig(ResolveConfig(tokens), 0).ok());
}

TEST(LoadConfig, TheTokenizerSaysTheVocabulary) {
  const std::string path = ::testing::TempDir() + "/tokens.textproto";
  const std::string golden = std::string(LOCKSTEP_SOURCE_DIR) + "/tests/testing/golden/tokenizers/bpe.json";
  std::ofstream(path) << "data { train: 'x' text { length: 8 tokenizer: '" << golden << "' } }";
  EXPECT_EQ(LoadConfig(path, {}).value().data().text().vocabulary(), 702);
  EXPECT_EQ(LoadConfig(path, {{"data.text.vocabulary=1024"}}).value().data().text().vocabulary(), 1024);
  EXPECT_EQ(ExitCodeOf(LoadConfig(path, {{"data.text.tokenizer=none.json"}}).status()), 3);
  // Where the file lies is no part of the recipe; what it holds is compared with the data.
  RunConfig moved = LoadConfig(path, {}).value();
  const std::string hash = RecipeHash(moved);
  moved.mutable_data()->mutable_text()->set_tokenizer("elsewhere.json");
  EXPECT_EQ(RecipeHash(moved), hash);
}

TEST(RecipeHash, DependsOnTheRecipeAlone) {
  const std::string hash = RecipeHash(Digits());
  EXPECT_EQ(hash.size(), 64);
  RunConfig config = Digits();
  for (const char* setting :
       {"execution.threads=3", "execution.comm.backend=tcp", "execution.checkpoint.keep_last=9"}) {
    ASSERT_TRUE(ApplySetting(&config, setting).ok());
  }
  EXPECT_EQ(RecipeHash(config), hash);
  config.clear_execution();
  EXPECT_EQ(RecipeHash(config), hash);
  EXPECT_EQ(RecipeHash(ResolveConfig(config)), hash) << "a default written out is the same recipe";
  for (const char* setting :
       {"seed=2", "lanes=4", "epochs=31", "optimizer.adamw.lr=0.1", "data.label.classes=11",
        "reduction=UNORDERED", "model.layers.layer[1]=relu {}"}) {
    RunConfig other = Digits();
    ASSERT_TRUE(ApplySetting(&other, setting).ok());
    EXPECT_NE(RecipeHash(other), hash) << setting;
  }
}

TEST(FlattenConfig, NamesEveryFieldByItsPath) {
  const auto flat = FlattenConfig(Digits());
  using Pair = std::pair<std::string, std::string>;
  EXPECT_THAT(flat, testing::IsSupersetOf(
                        {Pair("optimizer.adamw.lr", "0.002"), Pair("model.layers.layer[1].flatten", "{}"),
                         Pair("data.input.shape[0]", "8"), Pair("eval.metric", "\"accuracy\""),
                         Pair("model.layers.layer[0].repeat.block.layer[0].conv2d.channels", "32")}));
}

TEST(HorizonSteps, RoundsEpochsUpToAStep) {
  EXPECT_EQ(HorizonSteps(Digits(), 1437), 674);  // 30 * 1437 / 64 = 673.6
  RunConfig config = Digits();
  config.set_epochs(1.1);
  config.set_global_batch(1);
  EXPECT_EQ(HorizonSteps(config, 10), 11);
  config.set_epochs(1e-9);
  EXPECT_EQ(HorizonSteps(config, 10), 1);
  config.clear_epochs();
  config.set_steps(123);
  EXPECT_EQ(HorizonSteps(config, 10), 123);
}

TEST(ValidateConfig, AcceptsTheExample) {
  EXPECT_EQ(ValidateAfter({}), "valid");
  EXPECT_EQ(ValidateAfter({}, 8), "valid");
  EXPECT_EQ(ValidateAfter({"optimizer.sgd.lr=0.1", "schedule={}", "loss={}"}), "valid");
}

TEST(ValidateConfig, MoreRanksThanLanesSaysWhichToChange) {
  EXPECT_THAT(ValidateAfter({"lanes=2"}, 3),
              AllOf(HasSubstr("2 lanes"), HasSubstr("3 ranks"), HasSubstr("-np 2"), HasSubstr("lanes: 3")));
}

TEST(ValidateConfig, BatchThatDoesNotDivideNamesTheNearest) {
  EXPECT_THAT(ValidateAfter({"global_batch=60"}),
              AllOf(HasSubstr("global_batch: 60"), HasSubstr("56 or 64"), HasSubstr("lanes: 6")));
  EXPECT_THAT(ValidateAfter({"global_batch=4"}), AllOf(HasSubstr("global_batch: 8"), HasSubstr("lanes: 4")));
  EXPECT_THAT(ValidateAfter({"accumulate=3"}), AllOf(HasSubstr("lanes x accumulate"), HasSubstr("48 or 72")));
}

TEST(ValidateConfig, NotBuiltChoicesSaySo) {
  for (const char* setting : {"precision=BF16", "precision=FP16", "execution.device=CUDA"}) {
    EXPECT_THAT(ValidateAfter({setting}), HasSubstr("not built yet")) << setting;
  }
}

TEST(ValidateConfig, MissingAndContradictingFieldsAreNamed) {
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{"model={}"}, "model: give either name"},
      {{"model.name=mlp"}, "model: both name and layers"},
      {{"model={name: 'gpt' mlp {}}"}, "model.mlp: is read by name: 'mlp' only"},
      {{"model.layers={}"}, "model.layers: holds no layer"},
      {{"model.layers.layer[1]={}"}, "model.layers.layer[1]: says no kind"},
      {{"model.layers.layer[2]=linear {}"}, "model.layers.layer[2].linear.features: is required"},
      {{"model.layers.layer[0].repeat.block.layer[0].conv2d.kernel=0"},
       "layer[0].repeat.block.layer[0].conv2d.kernel: 0"},
      {{"data={}"}, "data: give one source"},
      {{"data.text.length=3"}, "not input and label and text"},
      {{"data={train: 'x' text {length: 3 tokens: true}}"}, "data.text: records of ids need vocabulary"},
      {{"data={train: 'x' text {length: 3 separator: 'x'}}"}, "data.text.separator: is a token of"},
      {{"data={train: 'x' text {length: 3 token_bytes: 2}}"}, "data.text.token_bytes: says how"},
      {{"data={train: 'x' text {length: 3 tokens: true token_bytes: 3}}"}, "data.text.token_bytes: 3 is not"},
      {{"data={train: 'x' text {length: 3 vocabulary: 9}}"}, "data.text.vocabulary: is 256"},
      {{"data={train: 'x' text {length: 3 tokens: true vocabulary: 0}}"}, "data.text.vocabulary: 0"},
      {{"data.train=\"\""}, "data.train: is required"},
      {{"data.label={feature: 'x'}"}, "data.label.classes: is required"},
      {{"data={synthetic {shape: 4 classes: 2} train: 'x'}"}, "data.synthetic: is made up"},
      {{"data.eval=\"\""}, "eval: needs held-out records"},
      {{"eval.every_steps=3"}, "eval: both every_steps and every_epochs"},
      {{"eval.metric=acuracy"}, "did you mean 'accuracy'"},
      {{"steps=3"}, "steps, epochs: both"},
      {{"epochs=0"}, "epochs: 0 is out of range"},
      {{"lanes=0"}, "lanes: 0 is out of range"},
      {{"optimizer.adamw.lr=0"}, "optimizer.adamw.lr: 0"},
      {{"optimizer.adamw.lr=nan"}, "optimizer.adamw.lr: nan"},
      {{"optimizer.adamw.beta1=1"}, "optimizer.adamw.beta1: 1"},
      {{"optimizer.sgd.nesterov=true"}, "needs momentum"},
      {{"schedule.cosine.warmup_steps=-1"}, "schedule.cosine.warmup_steps: -1"},
      {{"compression.power_sgd.rank=0", "reduction=UNORDERED"}, "compression.power_sgd.rank: 0"},
      {{"compression.power_sgd.rank=999", "reduction=UNORDERED"}, "compression.power_sgd.rank: 999"},
      {{"compression.power_sgd={}"}, "compression.power_sgd: needs reduction: UNORDERED"},
      {{"compression.top_k={}"}, "compression.top_k: needs reduction: UNORDERED"},
      {{"compression.top_k.ratio=0", "reduction=UNORDERED"}, "compression.top_k.ratio: 0"},
      {{"compression.top_k.ratio=1.5", "reduction=UNORDERED"}, "compression.top_k.ratio: 1.5"},
      {{"compression.top_k.ratio=nan", "reduction=UNORDERED"}, "compression.top_k.ratio: nan"},
      {{"execution.checkpoint.keep_last=0"}, "execution.checkpoint.keep_last: 0"},
      {{"execution.comm.deadline_seconds=0"}, "execution.comm.deadline_seconds: 0"},
  };
  for (const auto& [settings, expected] : cases) EXPECT_THAT(ValidateAfter(settings), HasSubstr(expected));
  RunConfig config = Digits();
  config.clear_global_batch();
  EXPECT_THAT(std::string(ValidateConfig(config, 0).message()), HasSubstr("global_batch: is required"));
  EXPECT_EQ(ExitCodeOf(ValidateConfig(config, 0)), 2);
  config.clear_model();
  EXPECT_THAT(std::string(ValidateConfig(config, 0).message()), HasSubstr("model: is required"));
}

TEST(Compression, IsPartOfTheRecipeAndItsDefaultsAreFilledIn) {
  const auto recipe_after = [](const std::vector<std::string>& settings) {
    RunConfig config = Digits();
    for (const std::string& setting : settings) EXPECT_TRUE(ApplySetting(&config, setting).ok()) << setting;
    EXPECT_TRUE(ValidateConfig(config, 0).ok());
    return RecipeText(config);
  };
  EXPECT_THAT(recipe_after({"compression.wire=BF16"}), HasSubstr("wire: BF16"));
  EXPECT_THAT(recipe_after({"compression.power_sgd={}", "reduction=UNORDERED"}), HasSubstr("rank: 4"));
  EXPECT_THAT(recipe_after({"compression.top_k={}", "reduction=UNORDERED"}), HasSubstr("ratio: 0.01"));
  // What compresses nothing is the recipe without it.
  EXPECT_EQ(recipe_after({"compression={}"}), recipe_after({}));
  EXPECT_EQ(recipe_after({"compression.wire=FP32"}), recipe_after({}));
}

TEST(LocateConfigPath, LooksInTheWorkingDirectoryThenBesideTheConfiguration) {
  const std::string folder = testing::TempDir() + "/locate_test";
  std::filesystem::create_directories(folder);
  std::ofstream(folder + "/some-1.tfrecord") << "x";
  EXPECT_EQ(LocateConfigPath("some-*.tfrecord", folder + "/run.textproto").value(),
            folder + "/some-*.tfrecord");
  EXPECT_EQ(LocateConfigPath(folder + "/some-1.tfrecord", "x").value(), folder + "/some-1.tfrecord");
  const absl::Status missing = LocateConfigPath("none-*.tfrecord", folder + "/run.textproto").status();
  EXPECT_EQ(ExitCodeOf(missing), 3);
  EXPECT_THAT(std::string(missing.message()), AllOf(HasSubstr("'none-*"), HasSubstr(folder + "/none-*")));
}

}  // namespace
}  // namespace lockstep::train
