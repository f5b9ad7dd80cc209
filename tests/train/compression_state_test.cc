#include "runtime/train/compression/compression_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "google/protobuf/text_format.h"
#include "runtime/train/checkpoint_writer.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/run_ranks.h"
#include "tests/train/sample_gradients.h"
#include "tests/train/sample_state.h"

namespace lockstep::train {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class TextLogger : public Logger {
 public:
  void Log(LogLevel, absl::string_view line) override { text += absl::StrCat(line, "\n"); }
  std::string text;
};

absl::StatusOr<std::unique_ptr<Compressor>> Make(const std::string& text, comm::Communicator& communicator) {
  CompressionConfig config;
  if (!google::protobuf::TextFormat::ParseFromString(text, &config)) return absl::InternalError(text);
  return MakeCompressor(config, SampleLayout(), kSampleTail, /*seed=*/1, communicator);
}

class CompressionState : public ::testing::Test {
 protected:
  // A checkpoint after two steps of `method` on `ranks` ranks.
  void Save(const std::string& method, int ranks) {
    const absl::Status status = testing::RunRanks({.size = ranks}, [&](auto& communicator) -> absl::Status {
      LaneTeam team(1);
      ASSIGN_OR_RETURN(const auto compressor, Make(method, communicator));
      for (int step = 0; step < 2; ++step) {
        auto gradient = SampleGradient(communicator.rank(), step, /*whole_numbers=*/true);
        RETURN_IF_ERROR(compressor->Reduce(communicator, team, gradient.data()));
      }
      SampleState state(2);
      AlignedBuffer<float> gathered;
      RETURN_IF_ERROR(AppendCompressionState(communicator, *compressor, &gathered, &state.tensors.optimizer));
      if (communicator.rank() != 0) {
        EXPECT_EQ(gathered.size(), 0) << "only who writes needs the memory";
        return absl::OkStatus();
      }
      CheckpointWriterOptions options;
      options.fs = &fs_;
      options.folder = "run/checkpoints";
      return SaveCheckpoint(options, state.manifest, state.tensors, /*best=*/false).status;
    });
    ASSERT_TRUE(status.ok()) << status;
  }

  // Restores on `ranks` ranks; each calls `then`. What the log says is in log_.
  template <typename Function>
  absl::Status Restore(const std::string& method, int ranks, const Function& then) {
    log_.text.clear();
    return testing::RunRanks({.size = ranks}, [&](auto& communicator) -> absl::Status {
      ASSIGN_OR_RETURN(const auto compressor, Make(method, communicator));
      std::optional<LoadedCheckpoint> checkpoint;
      if (communicator.rank() == 0) {
        ASSIGN_OR_RETURN(checkpoint, LoadCheckpoint(&fs_, "run/checkpoints/step-00000002"));
      }
      RETURN_IF_ERROR(
          RestoreCompressionState(communicator, checkpoint ? &*checkpoint : nullptr, *compressor, &log_));
      return then(communicator, *compressor);
    });
  }

  testing::MemoryFileSystem fs_;
  TextLogger log_;
};

TEST_F(CompressionState, GoesOnBitForBitOnAsManyRanks) {
  for (const std::string method : {"power_sgd { rank: 3 }", "top_k { ratio: 0.1 }"}) {
    Save(method, 3);
    const absl::Status status = Restore(method, 3, [&](auto& communicator, auto& resumed) -> absl::Status {
      LaneTeam team(1);
      ASSIGN_OR_RETURN(const auto calm, Make(method, communicator));
      std::vector<float> expected, gradient;
      for (int step = 0; step < 4; ++step) {
        expected = SampleGradient(communicator.rank(), step, /*whole_numbers=*/true);
        RETURN_IF_ERROR(calm->Reduce(communicator, team, expected.data()));
        if (step < 2) continue;
        gradient = SampleGradient(communicator.rank(), step, /*whole_numbers=*/true);
        RETURN_IF_ERROR(resumed.Reduce(communicator, team, gradient.data()));
        EXPECT_EQ(gradient, expected) << step;
      }
      return absl::OkStatus();
    });
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_THAT(log_.text, IsEmpty());
  }
}

TEST_F(CompressionState, AnotherNumberOfRanksKeepsTheSum) {
  const std::string method = "top_k { ratio: 0.1 }";  // of whole numbers, so that sums are exact
  Save(method, 3);
  std::vector<float> expected;
  const auto sum_of = [](comm::Communicator& communicator, const Compressor& compressor) {
    std::vector<float> sum(compressor.memory().begin(), compressor.memory().end());
    const comm::Buffer buffer = comm::BufferOf(absl::MakeSpan(sum));
    EXPECT_TRUE(communicator.AllReduce(buffer, buffer, comm::ReduceOp::kSum).ok());
    return sum;
  };
  ASSERT_TRUE(Restore(method, 3, [&](auto& communicator, auto& resumed) {
                const auto sum = sum_of(communicator, resumed);
                if (communicator.rank() == 0) expected = sum;
                return absl::OkStatus();
              }).ok());
  EXPECT_NE(expected, std::vector<float>(expected.size())) << "nothing was left out: this tests nothing";
  for (int ranks : {1, 2, 4, 7}) {
    const absl::Status status = Restore(method, ranks, [&](auto& communicator, auto& resumed) {
      EXPECT_EQ(sum_of(communicator, resumed), expected) << ranks;
      return absl::OkStatus();
    });
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_THAT(log_.text, HasSubstr(absl::StrCat("of 3 ranks, this run has ", ranks)));
  }
}

TEST_F(CompressionState, AnotherMethodTakesWhatItCan) {
  Save("power_sgd { rank: 3 }", 2);
  const absl::Status status =
      Restore("top_k { ratio: 0.1 }", 2, [](auto&, auto&) { return absl::OkStatus(); });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_THAT(log_.text, HasSubstr("another method or rank"));
  EXPECT_TRUE(Restore("power_sgd { rank: 2 }", 2, [](auto&, auto&) { return absl::OkStatus(); }).ok());
  EXPECT_THAT(log_.text, HasSubstr("2 of 2 factors begin anew"));
}

TEST_F(CompressionState, ACheckpointWithoutMemoriesIsSaid) {
  const SampleState state(2);
  CheckpointWriterOptions options;
  options.fs = &fs_;
  options.folder = "run/checkpoints";
  ASSERT_TRUE(SaveCheckpoint(options, state.manifest, state.tensors, /*best=*/false).status.ok());
  const absl::Status status = Restore("power_sgd {}", 2, [](auto&, auto& resumed) {
    for (const float value : resumed.memory()) EXPECT_EQ(value, 0);
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_THAT(log_.text, HasSubstr("begins empty"));
}

TEST_F(CompressionState, AnotherShapeIsAnErrorOnEveryRank) {
  SampleState state(2);
  const float value = 1;
  state.tensors.optimizer.push_back({"compression.error.0.fc.weight", DType::kF32, Shape({1}), &value});
  CheckpointWriterOptions options;
  options.fs = &fs_;
  options.folder = "run/checkpoints";
  ASSERT_TRUE(SaveCheckpoint(options, state.manifest, state.tensors, /*best=*/false).status.ok());
  const absl::Status status = Restore("power_sgd {}", 2, [](auto&, auto&) { return absl::OkStatus(); });
  EXPECT_EQ(ExitCodeOf(status), 5) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("compression.error.0.fc.weight"));
}

}  // namespace
}  // namespace lockstep::train
