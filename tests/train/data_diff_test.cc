#include "runtime/train/data_diff.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lockstep::train {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const std::vector<ManifestDataFile> kBefore = {{{"a", 100, 10, 0x1}, false},
                                               {{"b", 200, 20, 0x2}, false},
                                               {{"c", 300, 30, 0x3}, false},
                                               {{"held", 50, 5, 0x4}, true}};

TEST(DataDiff, TheSameFilesHaveNoDifference) {
  EXPECT_THAT(DataDiff(kBefore, kBefore, false), IsEmpty());
  EXPECT_THAT(DataDiff(kBefore, kBefore, true), IsEmpty());
}

TEST(DataDiff, NamesSizeCountContentsNewAndGone) {
  const std::vector<ManifestDataFile> after = {{{"a", 116, 10, 0x9}, false},
                                               {{"b", 200, 20, 0xab}, false},
                                               {{"d", 400, 40, 0x5}, false},
                                               {{"held", 50, 4, 0x4}, true}};
  EXPECT_THAT(
      DataDiff(kBefore, after, false),
      ElementsAre("a: 100 bytes -> 116", "b: other contents (hash 0000000000000002 -> 00000000000000ab)",
                  "d: new (400 bytes, 40 records)", "c: gone (300 bytes, 30 records)"));
  EXPECT_THAT(DataDiff(kBefore, after, true), ElementsAre("held: 5 records -> 4"));
}

TEST(DataDiff, AnotherOrderIsADifference) {
  const std::vector<ManifestDataFile> after = {kBefore[1], kBefore[0], kBefore[2], kBefore[3]};
  EXPECT_THAT(DataDiff(kBefore, after, false), ElementsAre("the same files in another order"));
}

TEST(DataDiff, FilesOfOneNameAreToldApartByTheirOrder) {
  const std::vector<ManifestDataFile> before = {{{"x", 1, 1, 1}, false}, {{"x", 2, 1, 1}, false}};
  const std::vector<ManifestDataFile> after = {{{"x", 1, 1, 1}, false}, {{"x", 3, 1, 1}, false}};
  EXPECT_THAT(DataDiff(before, after, false), ElementsAre("x: 2 bytes -> 3"));
}

TEST(DataDiff, LongListsAreCut) {
  EXPECT_THAT(DataDiff(kBefore, {}, false, 2), ElementsAre("a: gone (100 bytes, 10 records)",
                                                           "b: gone (200 bytes, 20 records)", "and 1 more"));
}

}  // namespace
}  // namespace lockstep::train
