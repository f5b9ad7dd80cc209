#include "runtime/train/agreement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/testing/run_ranks.h"

namespace lockstep::train {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(AgreementTest, AllWellIsWellEverywhere) {
  for (int ranks : {1, 3}) {
    const auto statuses = testing::StatusesOfRanks({.size = ranks}, [](comm::Communicator& communicator) {
      return AgreeOnStatus(communicator, absl::OkStatus());
    });
    for (const absl::Status& status : statuses) EXPECT_TRUE(status.ok()) << status;
  }
}

TEST(AgreementTest, AnErrorReachesAllWithItsKindAndItsRank) {
  const std::vector<absl::Status> errors = {ConfigError("field x"), DataError("file y, record 3"),
                                            PeerError("peer"),      CheckpointError("manifest"),
                                            NumericsError("NaN"),   absl::InternalError("a bug")};
  for (const absl::Status& error : errors) {
    const auto statuses = testing::StatusesOfRanks({.size = 3}, [&](comm::Communicator& communicator) {
      return AgreeOnStatus(communicator, communicator.rank() == 2 ? error : absl::OkStatus());
    });
    for (int rank = 0; rank < 3; ++rank) {
      EXPECT_EQ(ExitCodeOf(statuses[rank]), ExitCodeOf(error)) << rank << " " << statuses[rank];
      EXPECT_EQ(TroubleOf(statuses[rank]), TroubleOf(error)) << rank;
      EXPECT_THAT(std::string(statuses[rank].message()), HasSubstr(std::string(error.message())));
    }
    EXPECT_EQ(statuses[2], error) << "its own is unchanged";
    EXPECT_THAT(std::string(statuses[0].message()), StartsWith("rank 2: "));
  }
}

TEST(AgreementTest, TheLowestRankSpeaks) {
  const auto statuses = testing::StatusesOfRanks({.size = 4}, [](comm::Communicator& communicator) {
    const int rank = communicator.rank();
    return AgreeOnStatus(communicator,
                         rank == 0 ? absl::OkStatus() : DataError(absl::StrCat("trouble of ", rank)));
  });
  for (const absl::Status& status : statuses) EXPECT_THAT(status.ToString(), HasSubstr("trouble of 1"));
}

TEST(AgreementTest, TextOfRankZeroReachesAll) {
  const std::vector<std::string> texts = {"", "a", std::string("zero\0inside", 11), std::string(300000, 'x')};
  for (const std::string& text : texts) {
    for (int ranks : {1, 2, 5}) {
      const absl::Status status =
          testing::RunRanks({.size = ranks}, [&](comm::Communicator& communicator) -> absl::Status {
            ASSIGN_OR_RETURN(const std::string got,
                             BroadcastText(communicator, communicator.rank() == 0 ? text : "not this"));
            EXPECT_EQ(got, text);
            return absl::OkStatus();
          });
      EXPECT_TRUE(status.ok()) << status;
    }
  }
}

TEST(AgreementTest, TensorsOfRankZeroReachAll) {
  const absl::Status status =
      testing::RunRanks({.size = 3}, [](comm::Communicator& communicator) -> absl::Status {
        std::vector<float> first(1000), second(3), none;
        const bool root = communicator.rank() == 0;
        std::iota(first.begin(), first.end(), root ? 5.0f : -1.0f);
        std::iota(second.begin(), second.end(), root ? 7.0f : -1.0f);
        const std::vector<NamedBuffer> buffers = {{"first", DType::kF32, Shape({10, 100}), first.data()},
                                                  {"none", DType::kF32, Shape({0}), none.data()},
                                                  {"second", DType::kF32, Shape({3}), second.data()}};
        RETURN_IF_ERROR(BroadcastTensors(communicator, buffers));
        EXPECT_EQ(first[999], 1004);
        EXPECT_EQ(second, (std::vector<float>{7, 8, 9}));
        return absl::OkStatus();
      });
  EXPECT_TRUE(status.ok()) << status;
}

}  // namespace
}  // namespace lockstep::train
