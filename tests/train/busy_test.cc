#include "runtime/train/busy.h"

#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "tests/testing/run_ranks.h"

namespace lockstep::train {
namespace {

// One rank waits with a deadline of 1.5 s while the other does something for 4 s, counted as busy or not.
absl::Status WaitForOther(bool counted) {
  for (const char* backend : {"shm", "tcp"}) {
    const auto statuses =
        testing::StatusesOfRanks({.size = 2, .backend = backend, .deadline = absl::Milliseconds(1500)},
                                 [&](comm::Communicator& communicator) -> absl::Status {
                                   Busy busy;
                                   busy.ShowTo(&communicator);
                                   if (communicator.rank() == 1) {
                                     const Busy::Scope scope(counted ? &busy : nullptr);
                                     const Busy::Scope within(counted ? &busy : nullptr);
                                     absl::SleepFor(absl::Seconds(4));
                                   }
                                   return communicator.Barrier();
                                 });
    for (const absl::Status& status : statuses) {
      if (!status.ok()) return status;
    }
  }
  return absl::OkStatus();
}

TEST(BusyTest, LongWorkIsNoHang) { EXPECT_EQ(WaitForOther(true), absl::OkStatus()); }

TEST(BusyTest, WithoutItTheDeadlinePasses) {
  EXPECT_EQ(WaitForOther(false).code(), absl::StatusCode::kDeadlineExceeded);
}

}  // namespace
}  // namespace lockstep::train
