#include "runtime/core/status.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

TEST(StatusTest, EachKindOfTroubleHasItsExitCode) {
  EXPECT_EQ(ExitCodeOf(absl::OkStatus()), 0);
  EXPECT_EQ(ExitCodeOf(ConfigError("x")), 2);
  EXPECT_EQ(ExitCodeOf(DataError("x")), 3);
  EXPECT_EQ(ExitCodeOf(PeerError("x")), 4);
  EXPECT_EQ(ExitCodeOf(DeadlineError("x")), 4);
  EXPECT_EQ(ExitCodeOf(CheckpointError("x")), 5);
  EXPECT_EQ(ExitCodeOf(NumericsError("x")), 6);
  EXPECT_EQ(ExitCodeOf(absl::InternalError("x")), 1);
}

TEST(StatusTest, AnnotateKeepsCodeAndKind) {
  const absl::Status status = Annotate(Annotate(DataError("bad byte"), "record 7"), "file f");
  EXPECT_EQ(status.message(), "file f: record 7: bad byte");
  EXPECT_EQ(TroubleOf(status), Trouble::kData);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(Annotate(absl::OkStatus(), "file f").ok());
}

absl::StatusOr<int> Half(int n) {
  if (n % 2 != 0) return ConfigError("odd");
  return n / 2;
}
absl::StatusOr<int> Quarter(int n) {
  ASSIGN_OR_RETURN(const int half, Half(n));
  return Half(half);
}

TEST(StatusTest, AssignOrReturnStopsAtTheFirstError) {
  EXPECT_EQ(*Quarter(12), 3);
  EXPECT_EQ(Quarter(6).status().message(), "odd");
}

}  // namespace
}  // namespace lockstep
