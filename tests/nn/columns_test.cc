#include "runtime/nn/columns.h"

#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "proto/run_config.pb.h"
#include "runtime/nn/build_model.h"
#include "runtime/nn/models/builtin.h"
#include "tests/nn/lane_run.h"

namespace lockstep::nn {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <typename T>
std::vector<std::byte> BytesOf(const std::vector<T>& values) {
  const auto* begin = reinterpret_cast<const std::byte*>(values.data());
  return {begin, begin + values.size() * sizeof(T)};
}

// One number; an embedding of two slots, a linear column of one.
DataSpec Table(int64_t dense) {
  return {.input = {"columns", {DType::kF32, {dense}}},
          .label = {"label", {DType::kI64, {}}},
          .classes = 2,
          .extra = {{"columns.ids", {DType::kI32, {3}}}, {"columns.weights", {DType::kF32, {3}}}},
          .tables = {{.name = "word", .first = 0, .slots = 2, .rows = 4, .width = 2},
                     {.name = "wide", .first = 2, .slots = 1, .rows = 3, .width = 0}}};
}

absl::StatusOr<graph::Graph> Build(const DataSpec& data, const std::string& model) {
  ModelConfig config;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(model, &config));
  return BuildModel(config, LossConfig(), data, 2, BuiltinModels());
}

TEST(ColumnsModelTest, RowsGoWhereTheyBelong) {
  const auto graph = Build(Table(1), "layers { layer { linear { features: 2 bias: false } } }");
  ASSERT_TRUE(graph.ok()) << graph.status();
  auto run = lockstep::testing::LaneRun::Make(*graph, graph::Mode::kEvaluate);
  ASSERT_TRUE(run.ok()) << run.status();
  lockstep::testing::LaneRunInputs in;
  in.parameters["columns.word.weight"] = {1, 2, 10, 20, 100, 200, 1000, 2000};
  in.parameters["linear.wide.weight"] = {0.5, 0.25, 7, 8, -1, -2};
  in.parameters["0.linear.weight"] = {1, 1, 0, 0, 0, 1};  // the number + the row's first; the row's second
  in.inputs["columns"] = {{DType::kF32, {2, 1}}, BytesOf(std::vector<float>{3, 4})};
  in.inputs["columns.ids"] = {{DType::kI32, {2, 3}}, BytesOf(std::vector<int32_t>{1, 3, 1, 2, 0, 0})};
  in.inputs["columns.weights"] = {{DType::kF32, {2, 3}}, BytesOf(std::vector<float>{0.5, 0.5, 1, 1, 0, 0})};
  in.inputs["label"] = {{DType::kI64, {2}}, BytesOf(std::vector<int64_t>{0, 1})};
  const auto out = run->Run(in);
  ASSERT_TRUE(out.ok()) << out.status();
  // 3 + (10 + 1000) / 2 + 7, (20 + 2000) / 2 + 8; the second sample has one word and nothing wide.
  EXPECT_THAT(out->outputs.at("output"), ElementsAre(515, 1018, 104, 200));
}

TEST(ColumnsModelTest, OnlyTablesAreEnough) {
  const auto graph = Build(Table(0), "name: 'mlp' mlp { hidden: 3 outputs: 2 }");
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(graph->parameters[0].name, "columns.word.weight");
  for (const graph::Input& input : graph->inputs) EXPECT_NE(input.name, "columns");
}

TEST(ColumnsModelTest, LinearColumnsWantOneRowASample) {
  DataSpec data = Table(4);
  data.label.type.shape = {3};
  const auto graph = Build(data, "layers { layer { reshape { shape: [3, 2] } } }");
  EXPECT_THAT(std::string(graph.status().message()), HasSubstr("one row a sample, not [3, 2]"));
}

}  // namespace
}  // namespace lockstep::nn
