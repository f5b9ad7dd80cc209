#include "comm/hier/layout.h"

#include <string>
#include <vector>

#include "comm/hier/group_rounds.h"
#include "comm/plan/lane_tree.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/run_ranks.h"

namespace lockstep::comm {
namespace {

using ::testing::ElementsAre;

TEST(LayoutTest, MachinesAreFoundByNameNotByNumber) {
  const Layout layout = LayoutOf({"b", "a", "b", "a", "c"}, 3);
  EXPECT_THAT(layout.machines, ElementsAre(ElementsAre(0, 2), ElementsAre(1, 3), ElementsAre(4)));
  EXPECT_EQ(layout.machine, 1);
  EXPECT_EQ(layout.local, 1);
  EXPECT_EQ(layout.MachineOf(4), 2);
  EXPECT_EQ(layout.LocalOf(2), 1);
  EXPECT_EQ(layout.columns(), 1);
  EXPECT_FALSE(layout.contiguous());
  EXPECT_FALSE(layout.uniform());
  const Layout pairs = LayoutOf({"a", "a", "b", "b"}, 0);
  EXPECT_TRUE(pairs.contiguous() && pairs.uniform());
  EXPECT_EQ(pairs.columns(), 2);
}

// The plan of machines that own consecutive lanes, for any division, is the lane tree: also where a rank
// owns none.
TEST(LayoutTest, LanesOfAnyDivisionMakeTheTree) {
  for (const std::vector<int>& bounds :
       {std::vector<int>{0, 8}, {0, 3, 8}, {0, 1, 2, 7, 8}, {0, 0, 5, 5, 12}, {0, 6, 7}}) {
    const LanePlan plan = MakeLanePlan(bounds);
    std::vector<std::string> names;
    for (const LanePlan::Part& part : plan.parts) {
      EXPECT_GE(part.lanes.begin, bounds[part.rank]);
      EXPECT_LE(part.lanes.end, bounds[part.rank + 1]);
      names.push_back(ExpressionOf(part.lanes));
    }
    EXPECT_EQ(ExpressionOf(plan.steps, names), ExpressionOf(LaneRange{0, bounds.back()}));
  }
}

// Groups that exchange differently often share the meeting of all.
TEST(GroupRoundsTest, GroupsMeetIndependently) {
  const auto statuses = testing::StatusesOfMeetings({.size = 5, .what = "groups"}, [](Meeting& meeting) {
    const bool odd = meeting.rank() % 2 == 1;
    GroupRounds group(meeting, odd ? std::vector<int>{1, 3} : std::vector<int>{0, 2, 4}, "test");
    const Deadline deadline = Deadline::After(absl::Seconds(20));
    for (int round = 0; round < (odd ? 1 : 4); ++round) {
      const auto texts = group.Exchange("round", absl::StrCat(meeting.rank(), "/", round), deadline);
      RETURN_IF_ERROR(texts.status());
      for (int member = 0; member < group.size(); ++member) {
        EXPECT_EQ((*texts)[member], absl::StrCat(2 * member + (odd ? 1 : 0), "/", round));
      }
    }
    return group.Finish(deadline);
  });
  for (const absl::Status& status : statuses) EXPECT_TRUE(status.ok()) << status;
}

}  // namespace
}  // namespace lockstep::comm
