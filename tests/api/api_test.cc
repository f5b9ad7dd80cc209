// A model written against the installed headers, through registration, to the graph that it stands for.
#include <stdexcept>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lockstep/builder.h"
#include "lockstep/models.h"
#include "runtime/api/registration.h"
#include "runtime/graph/builder.h"

namespace lockstep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Builds `model` alone, with `params`; the error where it fails.
absl::StatusOr<graph::Graph> Build(const ModelFunction& model, const nn::ModelParams& params = {}) {
  Models models;
  models.Add("mine", model);
  nn::ModelRegistry registry;
  RETURN_IF_ERROR(api::RegisterModels(models, &registry));
  ASSIGN_OR_RETURN(const nn::ModelRegistry::Entry* entry, registry.Find("mine"));
  graph::Builder builder(/*micro_batch=*/4);
  entry->model(builder, params);
  RETURN_IF_ERROR(params.Check());
  return std::move(builder).Finish();
}

std::vector<std::string> ParameterNames(const graph::Graph& graph) {
  std::vector<std::string> names;
  for (const graph::Parameter& parameter : graph.parameters) names.push_back(parameter.name);
  return names;
}

TEST(ApiTest, ScopesAndCountersNameTheParameters) {
  const auto graph = Build([](Builder& b, const Params&) {
    auto x = b.Input("x", F32, {3});
    {
      auto scope = b.Scope("block", 2);
      x = b.Relu(b.Linear(x, 5));
      x = b.Linear(x, 5, /*bias=*/false);
    }
    auto scope = b.Scope("head");
    x = b.Linear(x, 1);
    b.Loss(b.MeanSquaredError(x, b.Input("y", F32, {1})));
  });
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_THAT(ParameterNames(*graph),
              ElementsAre("block.2.linear.weight", "block.2.linear.bias", "block.2.linear_1.weight",
                          "head.linear.weight", "head.linear.bias"));
}

TEST(ApiTest, ConvolutionKeepsTheSizeUnlessToldOtherwise) {
  Dims same, valid, pooled;
  const auto graph = Build([&](Builder& b, const Params&) {
    auto x = b.Input("image", F32, {8, 8, 1});
    same = b.shape(b.Conv2d(x, {.channels = 4, .kernel = 5}));
    valid = b.shape(b.Conv2d(x, {.channels = 4, .kernel = 3, .padding = 0}));
    pooled = b.shape(b.MaxPool(x, {.size = 2}));
    b.Loss(b.MeanSquaredError(b.Flatten(x), b.Flatten(x)));
  });
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_THAT(same, ElementsAre(8, 8, 4));
  EXPECT_THAT(valid, ElementsAre(6, 6, 4));
  EXPECT_THAT(pooled, ElementsAre(4, 4, 1));
}

TEST(ApiTest, ParametersComeFromTheConfiguration) {
  nn::ModelParams params;
  ASSERT_TRUE(params.Set("features", 7.0).ok());
  ASSERT_TRUE(params.Set("kind", "wide").ok());
  std::string kind;
  int64_t missing = 0;
  const auto graph = Build(
      [&](Builder& b, const Params& p) {
        auto x = b.Linear(b.Input("x", F32, {3}), p.Int("features", 1));
        kind = p.Text("kind", "narrow");
        missing = p.Int("missing", 42);
        b.Loss(b.Sum(b.Square(x), 0));
      },
      params);
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(graph->parameters[0].shape, (Shape{7, 3}));
  EXPECT_EQ(kind, "wide");
  EXPECT_EQ(missing, 42);
}

TEST(ApiTest, ParameterNeverAskedForIsAnError) {
  nn::ModelParams params;
  ASSERT_TRUE(params.Set("featurs", 7.0).ok());
  const auto graph =
      Build([](Builder& b, const Params& p) { b.Loss(b.Input("x", F32, {p.Int("features", 1)})); }, params);
  EXPECT_EQ(ExitCodeOf(graph.status()), 2);
  EXPECT_THAT(std::string(graph.status().message()), HasSubstr("featurs"));
}

TEST(ApiTest, MistakeNamesTheLayer) {
  const auto graph = Build([](Builder& b, const Params&) {
    auto scope = b.Scope("stem");
    b.Conv2d(b.Input("image", F32, {2, 2, 1}), {.channels = 4, .kernel = 7, .padding = 0});
  });
  EXPECT_EQ(ExitCodeOf(graph.status()), 2);
  EXPECT_THAT(std::string(graph.status().message()), HasSubstr("stem.conv2d"));
}

TEST(ApiTest, NegativeDimensionIsAnError) {
  const auto graph = Build([](Builder& b, const Params&) { b.Loss(b.Input("x", F32, {-3})); });
  EXPECT_EQ(ExitCodeOf(graph.status()), 2);
}

TEST(ApiTest, ReshapeTakesOneFreeEntry) {
  Dims shape;
  const auto good = Build([&](Builder& b, const Params&) {
    auto x = b.Reshape(b.Input("x", F32, {6, 4}), {-1, 8});
    shape = b.shape(x);
    b.Loss(b.MeanSquaredError(x, x));
  });
  ASSERT_TRUE(good.ok()) << good.status();
  EXPECT_THAT(shape, ElementsAre(3, 8));
  EXPECT_FALSE(Build([](Builder& b, const Params&) {
                 b.Loss(b.Reshape(b.Input("x", F32, {6}), {-1, -1}));
               }).ok());
}

TEST(ApiTest, ExceptionBecomesAnErrorThatNamesTheModel) {
  const auto graph = Build([](Builder&, const Params&) { throw std::runtime_error("out of ideas"); });
  EXPECT_EQ(ExitCodeOf(graph.status()), 2);
  EXPECT_THAT(std::string(graph.status().message()),
              ::testing::AllOf(HasSubstr("mine"), HasSubstr("out of ideas")));
}

TEST(ApiTest, SameNameTwiceIsAnError) {
  Models models;
  models.Add("mine", [](Builder&, const Params&) {});
  models.Add("mine", [](Builder&, const Params&) {});
  nn::ModelRegistry registry;
  EXPECT_EQ(ExitCodeOf(api::RegisterModels(models, &registry)), 2);
}

TEST(ApiTest, ModelWithoutAFunctionIsAnError) {
  const auto graph = Build(nullptr);
  EXPECT_EQ(ExitCodeOf(graph.status()), 2);
}

}  // namespace
}  // namespace lockstep
