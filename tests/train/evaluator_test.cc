#include "runtime/train/evaluator.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <vector>

#include "google/protobuf/text_format.h"
#include "runtime/nn/build_model.h"
#include "runtime/nn/models/builtin.h"
#include "runtime/train/config.h"
#include "tests/testing/run_ranks.h"

namespace lockstep::train {
namespace {

// 50 records in micro-batches of 4: the last of 13 chunks has 2 samples.
constexpr char kConfig[] = R"(
    model { name: "mlp" mlp { hidden: [16] dropout: 0.5 } }
    data { synthetic { shape: 6 classes: 3 records: 50 } }
    lanes: 8 global_batch: 32 steps: 1 eval { metric: "accuracy" })";

struct Parts {
  RunConfig config;
  std::unique_ptr<Feed> feed;
  std::shared_ptr<const graph::LaneProgram> train, evaluate;
  std::unique_ptr<ModelState> state;
};

absl::StatusOr<Parts> MakeParts(const char* text = kConfig) {
  Parts parts;
  RunConfig config;
  if (!google::protobuf::TextFormat::ParseFromString(text, &config)) return absl::InternalError("config");
  parts.config = ResolveConfig(config);
  ASSIGN_OR_RETURN(parts.feed, Feed::Open(parts.config, "", RealFileSystem()));
  const nn::ModelRegistry models = nn::BuiltinModels();
  ASSIGN_OR_RETURN(const graph::Graph graph,
                   nn::BuildModel(parts.config.model(), parts.config.loss(), parts.feed->facts().spec,
                                  parts.config.global_batch() / parts.config.lanes(), models));
  ASSIGN_OR_RETURN(parts.train, graph::Compile(graph, {.mode = graph::Mode::kTrain,
                                                       .device = kernels::Device::kCpu,
                                                       .layout = nullptr}));
  ASSIGN_OR_RETURN(parts.evaluate, graph::Compile(graph, {.mode = graph::Mode::kEvaluate,
                                                          .device = kernels::Device::kCpu,
                                                          .layout = parts.train->parameter_layout_ptr()}));
  parts.state = std::make_unique<ModelState>(parts.train->parameter_layout_ptr(), parts.train->state_layout(),
                                             std::vector<std::string>(), /*ema=*/false);
  parts.state->Initialize(11);
  return parts;
}

absl::StatusOr<graph::LaneResult> EvaluateOn(comm::Communicator& communicator, int threads) {
  ASSIGN_OR_RETURN(Parts parts, MakeParts());
  LaneTeam team(threads);
  std::vector<std::string> inputs;
  for (const graph::Input& input : parts.train->inputs()) inputs.push_back(input.name);
  const comm::LaneRange owned = comm::LanesOfRank(communicator.rank(), communicator.size(), 8);
  RETURN_IF_ERROR(parts.feed->Start({.threads = threads, .read_ahead_steps = 1, .owned = owned}, inputs, 0));
  Evaluator evaluator(parts.evaluate, &communicator, &team);
  RETURN_IF_ERROR(evaluator.Run(*parts.state, *parts.feed).status());
  return evaluator.Run(*parts.state, *parts.feed);  // a second time, as training does
}

TEST(EvaluatorTest, SeesEverySampleOnceWhateverTheWorldAndEveryRanksThreads) {
  graph::LaneResult alone;
  ASSERT_TRUE(testing::RunRanks({.size = 1}, [&](comm::Communicator& communicator) -> absl::Status {
                ASSIGN_OR_RETURN(alone, EvaluateOn(communicator, 1));
                return absl::OkStatus();
              }).ok());
  EXPECT_EQ(alone.loss.weight, 50);
  ASSERT_EQ(alone.metrics.size(), 1);
  EXPECT_EQ(alone.metrics[0].weight, 50);
  EXPECT_GT(alone.loss.sum, 0);
  for (int ranks = 1; ranks <= 5; ++ranks) {
    for (bool uneven : {false, true}) {
      const absl::Status status =
          testing::RunRanks({.size = ranks}, [&](comm::Communicator& communicator) -> absl::Status {
            ASSIGN_OR_RETURN(const graph::LaneResult sums,
                             EvaluateOn(communicator, uneven ? 1 + communicator.rank() % 3 : 2));
            EXPECT_EQ(sums.loss.sum, alone.loss.sum) << ranks;
            EXPECT_EQ(sums.loss.weight, 50) << ranks;
            EXPECT_EQ(sums.metrics[0].sum, alone.metrics[0].sum) << ranks;
            return absl::OkStatus();
          });
      EXPECT_TRUE(status.ok()) << status;
    }
  }
}

TEST(EvaluatorTest, MeansAreSumsOverWeights) {
  graph::LaneResult sums;
  sums.loss = {.sum = 12, .weight = 8};
  sums.metrics = {{.sum = 6, .weight = 8}};
  const auto means = MeansOf(sums, {"accuracy"}, /*bytes_per_target=*/4);
  ASSERT_EQ(means.size(), 3);
  EXPECT_EQ(means[0], (std::pair<std::string, double>("loss", 1.5)));
  EXPECT_EQ(means[1], (std::pair<std::string, double>("accuracy", 0.75)));
  EXPECT_EQ(means[2].first, "bits_per_byte");
  EXPECT_DOUBLE_EQ(means[2].second, 1.5 / std::log(2.0) / 4);
  EXPECT_EQ(MeansOf(sums, {"accuracy"}, /*bytes_per_target=*/0).size(), 2);
}

}  // namespace
}  // namespace lockstep::train
