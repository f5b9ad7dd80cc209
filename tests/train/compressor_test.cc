// PowerSGD and top-k with ranks as threads: what they send, what they keep, and what never may happen.
#include "runtime/train/compression/compressor.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "google/protobuf/text_format.h"
#include "tests/testing/run_ranks.h"
#include "tests/train/sample_gradients.h"

namespace lockstep::train {
namespace {

constexpr char kPowerSgd[] = "power_sgd { rank: 4 }";
constexpr char kTopK[] = "top_k { ratio: 0.05 }";

absl::StatusOr<std::unique_ptr<Compressor>> Make(const std::string& text, comm::Communicator& communicator) {
  CompressionConfig config;
  if (!google::protobuf::TextFormat::ParseFromString(text, &config)) return absl::InternalError(text);
  return MakeCompressor(config, SampleLayout(), kSampleTail, /*seed=*/1, communicator);
}

// The sum over ranks of their gradients in steps 0 .. steps-1, in double.
std::vector<double> ExactSum(int ranks, int steps, bool whole_numbers) {
  std::vector<double> sum(static_cast<size_t>(SampleElements()));
  for (int rank = 0; rank < ranks; ++rank) {
    for (int step = 0; step < steps; ++step) {
      const auto gradient = SampleGradient(rank, step, whole_numbers);
      for (size_t i = 0; i < sum.size(); ++i) sum[i] += gradient[i];
    }
  }
  return sum;
}

std::vector<float> Copy(absl::Span<const float> values) { return {values.begin(), values.end()}; }

// Adds the error memories of all ranks, at the places of their matrices in the flat gradient.
absl::Status AddMemories(comm::Communicator& communicator, const Compressor& compressor,
                         std::vector<double>* sum) {
  std::vector<float> memory = Copy(compressor.memory());
  const comm::Buffer buffer = comm::BufferOf(absl::MakeSpan(memory));
  RETURN_IF_ERROR(communicator.AllReduce(buffer, buffer, comm::ReduceOp::kSum));
  for (const GradientMatrix& matrix : compressor.parts().matrices) {
    for (int64_t i = 0; i < matrix.elements(); ++i)
      (*sum)[matrix.offset + i] += memory[matrix.memory_offset + i];
  }
  return absl::OkStatus();
}

// Nothing is lost: what was sent in all steps and what is still remembered is the sum of all gradients.
TEST(Compressor, WhatIsNotSentIsRemembered) {
  constexpr int kSteps = 12;
  for (const std::string method : {kPowerSgd, kTopK, "power_sgd { rank: 1 }", "top_k { ratio: 1e-9 }"}) {
    for (const std::string backend : {"shm", "tcp"}) {
      for (int ranks : {1, 2, 3, 5}) {
        const testing::RunRanksOptions options{.size = ranks, .backend = ranks == 1 ? "auto" : backend};
        const absl::Status status = testing::RunRanks(options, [&](auto& communicator) -> absl::Status {
          LaneTeam team(1 + communicator.rank() % 3);
          ASSIGN_OR_RETURN(const auto compressor, Make(method, communicator));
          std::vector<double> sent(static_cast<size_t>(SampleElements()));
          for (int step = 0; step < kSteps; ++step) {
            auto gradient = SampleGradient(communicator.rank(), step, /*whole_numbers=*/true);
            RETURN_IF_ERROR(compressor->Reduce(communicator, team, gradient.data()));
            RETURN_IF_ERROR(ExpectSameEverywhere(communicator, absl::MakeSpan(gradient)));
            for (size_t i = 0; i < sent.size(); ++i) sent[i] += gradient[i];
          }
          double remembered = 0;
          for (const float value : compressor->memory()) remembered += std::abs(value);
          if (remembered < 100) return absl::InternalError("nothing was left out: this tests nothing");
          RETURN_IF_ERROR(AddMemories(communicator, *compressor, &sent));
          const std::vector<double> expected = ExactSum(ranks, kSteps, /*whole_numbers=*/true);
          // Top-k only moves whole numbers; PowerSGD rounds.
          const double tolerance = method[0] == 't' ? 0 : 2e-2;
          for (size_t i = 0; i < sent.size(); ++i) {
            if (!(std::abs(sent[i] - expected[i]) <= tolerance)) {
              return absl::InternalError(absl::StrCat("element ", i, ": ", sent[i], " is not ", expected[i]));
            }
          }
          return absl::OkStatus();
        });
        EXPECT_TRUE(status.ok()) << method << " " << backend << " " << ranks << ": " << status;
      }
    }
  }
}

TEST(Compressor, VectorsSmallMatricesAndTheTailAreExact) {
  for (const std::string method : {kPowerSgd, kTopK}) {
    const absl::Status status = testing::RunRanks({.size = 3}, [&](auto& communicator) -> absl::Status {
      LaneTeam team(2);
      ASSIGN_OR_RETURN(const auto compressor, Make(method, communicator));
      auto gradient = SampleGradient(communicator.rank(), 0, /*whole_numbers=*/true);
      RETURN_IF_ERROR(compressor->Reduce(communicator, team, gradient.data()));
      const std::vector<double> expected = ExactSum(3, 1, true);
      EXPECT_EQ(compressor->parts().whole_elements, 24 + (method == kPowerSgd ? 6 : 0) + kSampleTail);
      for (const GradientRange& range : compressor->parts().whole) {
        for (int64_t i = range.begin; i < range.end; ++i) EXPECT_EQ(gradient[i], expected[i]) << i;
      }
      return absl::OkStatus();
    });
    EXPECT_TRUE(status.ok()) << method << ": " << status;
  }
}

// The first step of a run, resumed or not, has to work from a random Q: one iteration finds the columns of a
// matrix of low rank at once.
TEST(PowerSgd, IsExactForSumsOfLowRank) {
  for (int ranks : {1, 3}) {
    const absl::Status status = testing::RunRanks({.size = ranks}, [&](auto& communicator) -> absl::Status {
      LaneTeam team(1);
      ASSIGN_OR_RETURN(const auto compressor, Make(kPowerSgd, communicator));
      const GradientParts& parts = compressor->parts();
      std::vector<float> gradient(static_cast<size_t>(SampleElements()));
      std::vector<double> expected(gradient.size());
      // Each rank's matrices are products of two vectors; with 3 ranks the sums have rank 3.
      for (int rank = 0; rank < ranks; ++rank) {
        for (const GradientMatrix& matrix : parts.matrices) {
          std::vector<float> a(matrix.rows), b(matrix.columns);
          FillNormal(DeriveKey(1, absl::StrCat(matrix.name, rank)), 0, 1, absl::MakeSpan(a));
          FillNormal(DeriveKey(2, absl::StrCat(matrix.name, rank)), 0, 1, absl::MakeSpan(b));
          for (int64_t i = 0; i < matrix.elements(); ++i) {
            const float value = a[i / matrix.columns] * b[i % matrix.columns];
            expected[matrix.offset + i] += value;
            if (rank == communicator.rank()) gradient[matrix.offset + i] = value;
          }
        }
      }
      RETURN_IF_ERROR(compressor->Reduce(communicator, team, gradient.data()));
      for (const GradientMatrix& matrix : parts.matrices) {
        for (int64_t i = 0; i < matrix.elements(); ++i)
          EXPECT_NEAR(gradient[matrix.offset + i], expected[matrix.offset + i], 1e-4)
              << matrix.name << " " << i;
      }
      for (const float value : compressor->memory()) EXPECT_NEAR(value, 0, 1e-4);
      return absl::OkStatus();
    });
    EXPECT_TRUE(status.ok()) << ranks << ": " << status;
  }
}

// The warm start is a power iteration: on the same gradient it converges to the best approximation, which
// here is nearly all of it.
TEST(PowerSgd, WarmStartConvergesToTheLargestDirections) {
  const absl::Status status = testing::RunRanks({.size = 2}, [&](auto& communicator) -> absl::Status {
    LaneTeam team(1);
    ASSIGN_OR_RETURN(const auto compressor, Make("power_sgd { rank: 2 }", communicator));
    const GradientMatrix& matrix = compressor->parts().matrices.front();
    std::vector<float> input(static_cast<size_t>(SampleElements()));
    // Diagonal: 8, 7, 1, 1, 1, ... on each rank.
    for (int64_t i = 0; i < matrix.rows; ++i)
      input[matrix.offset + i * matrix.columns + i] = i == 0 ? 8.0f : i == 1 ? 7.0f : 1.0f;
    for (int step = 0; step < 8; ++step) {
      auto gradient = input;
      std::fill(compressor->memory().begin(), compressor->memory().end(), 0.0f);
      RETURN_IF_ERROR(compressor->Reduce(communicator, team, gradient.data()));
      if (step < 7) continue;
      EXPECT_NEAR(gradient[matrix.offset], 16, 0.01);
      EXPECT_NEAR(gradient[matrix.offset + matrix.columns + 1], 14, 0.01);
      EXPECT_NEAR(gradient[matrix.offset + 2 * matrix.columns + 2], 0, 0.01);
    }
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
}

TEST(PowerSgd, StartsAgainAfterGradientsOfZero) {
  const absl::Status status = testing::RunRanks({.size = 2}, [&](auto& communicator) -> absl::Status {
    LaneTeam team(1);
    ASSIGN_OR_RETURN(const auto compressor, Make(kPowerSgd, communicator));
    std::vector<float> zeros(static_cast<size_t>(SampleElements()));
    RETURN_IF_ERROR(compressor->Reduce(communicator, team, zeros.data()));
    for (const float value : zeros) EXPECT_EQ(value, 0);
    const GradientMatrix& matrix = compressor->parts().matrices.front();
    std::vector<float> ones(zeros.size());
    for (int64_t i = 0; i < matrix.elements(); ++i) ones[matrix.offset + i] = 1;
    RETURN_IF_ERROR(compressor->Reduce(communicator, team, ones.data()));
    for (int64_t i = 0; i < matrix.elements(); ++i) EXPECT_NEAR(ones[matrix.offset + i], 2, 1e-5);
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
}

TEST(TopK, SendsTheLargestAndKeepsTheRest) {
  const absl::Status status = testing::RunRanks({.size = 2}, [&](auto& communicator) -> absl::Status {
    LaneTeam team(1);
    // One of small.weight's six elements, and one of each other matrix.
    ASSIGN_OR_RETURN(const auto compressor, Make("top_k { ratio: 1e-6 }", communicator));
    const GradientMatrix& small = compressor->parts().matrices[1];
    EXPECT_EQ(small.name, "small.weight");
    std::vector<float> gradient(static_cast<size_t>(SampleElements()));
    // Both send element 1 (of rank 1's two of the same size the first), and keep the others.
    const std::vector<float> mine = communicator.rank() == 0 ? std::vector<float>{1, -5, 2, 0, 3, 4}
                                                             : std::vector<float>{0, 2, -2, 1, 0, 0};
    std::copy(mine.begin(), mine.end(), gradient.begin() + small.offset);
    RETURN_IF_ERROR(compressor->Reduce(communicator, team, gradient.data()));
    EXPECT_EQ(Copy({&gradient[small.offset], 6}), (std::vector<float>{0, -3, 0, 0, 0, 0}));
    std::vector<float> kept = mine;
    kept[1] = 0;
    EXPECT_EQ(Copy(compressor->memory().subspan(small.memory_offset, 6)), kept);
    // The next step begins with what was kept: 4 of rank 0, -2 of rank 1.
    std::fill(gradient.begin(), gradient.end(), 0.0f);
    RETURN_IF_ERROR(compressor->Reduce(communicator, team, gradient.data()));
    EXPECT_EQ(Copy({&gradient[small.offset], 6}), (std::vector<float>{0, 0, -2, 0, 0, 4}));
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
}

TEST(TopK, AllOfItIsTheExactSum) {
  const absl::Status status = testing::RunRanks({.size = 3}, [&](auto& communicator) -> absl::Status {
    LaneTeam team(2);
    ASSIGN_OR_RETURN(const auto compressor, Make("top_k { ratio: 1 }", communicator));
    auto gradient = SampleGradient(communicator.rank(), 0, /*whole_numbers=*/true);
    RETURN_IF_ERROR(compressor->Reduce(communicator, team, gradient.data()));
    const std::vector<double> expected = ExactSum(3, 1, true);
    for (size_t i = 0; i < gradient.size(); ++i) EXPECT_EQ(gradient[i], expected[i]) << i;
    for (const float value : compressor->memory()) EXPECT_EQ(value, 0);
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
}

// A step that will be skipped must leave no NaN behind in what is carried to the next.
TEST(Compressor, NonFiniteGradientsShowEverywhereAndSpoilNothing) {
  for (const std::string method : {kPowerSgd, kTopK}) {
    for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
      for (const char* where : {"fc.weight", "fc.bias"}) {
        const absl::Status status = testing::RunRanks({.size = 3}, [&](auto& communicator) -> absl::Status {
          LaneTeam team(1);
          ASSIGN_OR_RETURN(const auto compressor, Make(method, communicator));
          auto gradient = SampleGradient(communicator.rank(), 0);
          RETURN_IF_ERROR(compressor->Reduce(communicator, team, gradient.data()));
          const std::vector<float> memory = Copy(compressor->memory());
          std::vector<std::vector<float>> shared;
          const auto shared_now = [&] {
            std::vector<std::vector<float>> all;
            for (const NamedBuffer& buffer : compressor->SharedState())
              all.push_back(Copy({static_cast<float*>(buffer.data), buffer.size_bytes() / sizeof(float)}));
            return all;
          };
          shared = shared_now();
          gradient = SampleGradient(communicator.rank(), 1);
          const graph::ParameterLayout layout = SampleLayout();
          if (communicator.rank() == 1) gradient[layout.entries[layout.Find(where)].offset + 5] = bad;
          RETURN_IF_ERROR(compressor->Reduce(communicator, team, gradient.data()));
          double norm = 0;
          for (size_t i = 0; i < layout.total_elements; ++i) norm += std::abs(gradient[i]);
          EXPECT_FALSE(std::isfinite(norm)) << method << " " << where;
          EXPECT_EQ(Copy(compressor->memory()), memory);
          EXPECT_EQ(shared_now(), shared);
          return absl::OkStatus();
        });
        EXPECT_TRUE(status.ok()) << status;
      }
    }
  }
}

}  // namespace
}  // namespace lockstep::train
