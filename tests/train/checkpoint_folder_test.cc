#include "runtime/train/checkpoint_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/train/checkpoint.h"
#include "tests/testing/memory_file_system.h"

namespace lockstep::train {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(CheckpointName, AndItsInverse) {
  EXPECT_EQ(CheckpointName(100), "step-00000100");
  EXPECT_EQ(CheckpointName(1234567890), "step-1234567890");
  for (const int64_t step : {0LL, 7LL, 99999999LL, 100000000LL})
    EXPECT_EQ(StepOfName(CheckpointName(step)), step);
}

TEST(CheckpointName, OtherNamesAreNone) {
  for (const char* name :
       {"step-100", "step-", "step-0000010x", "step-000000100", "Step-00000100", ".tmp-step-00000100",
        "step--0000001", "step-00000100 ", "step-99999999999999999999"}) {
    EXPECT_FALSE(StepOfName(name).has_value()) << name;
  }
}

class CheckpointFolderTest : public ::testing::Test {
 protected:
  void Make(const std::string& name, bool manifest = true) {
    ASSERT_TRUE(fs_.CreateFolders(JoinPath("c", name)).ok());
    ASSERT_TRUE(!manifest || fs_.Create(JoinPath(JoinPath("c", name), kManifestName)).ok());
  }
  std::vector<std::string> Names() {
    std::vector<std::string> names;
    const auto files = fs_.List("c").value();
    for (const FileInfo& file : files) names.push_back(file.name);
    return names;
  }
  testing::MemoryFileSystem fs_;
};

TEST_F(CheckpointFolderTest, AMissingFolderIsEmpty) {
  EXPECT_THAT(ListCheckpoints(&fs_, "c").value(), IsEmpty());
  EXPECT_TRUE(RemoveLeftovers(&fs_, "c").ok());
  EXPECT_TRUE(absl::IsNotFound(ReadBest(&fs_, "c").status()));
}

TEST_F(CheckpointFolderTest, WithoutAManifestItIsNoCheckpoint) {
  Make("step-00000001");
  Make("step-00000002", false);
  EXPECT_THAT(ListCheckpoints(&fs_, "c").value(), ElementsAre(1));
}

TEST_F(CheckpointFolderTest, LeftoversGoAndStrangersStay) {
  Make(".tmp-step-00000003");
  Make(".tmp-step-3");
  Make("other");
  Make("step-00000001");
  Make(".replaced-step-00000001");  // the new one is in place
  Make(".replaced-step-00000002");  // the crash came before the new one was
  ASSERT_TRUE(RemoveLeftovers(&fs_, "c").ok());
  EXPECT_THAT(Names(), ElementsAre(".tmp-step-3", "other", "step-00000001", "step-00000002"));
}

TEST_F(CheckpointFolderTest, LaterOnesAreSetAsideAndABestAmongThemIsForgotten) {
  for (const char* name : {"step-00000001", "step-00000002", "step-00000003", "set-aside-step-00000003"})
    Make(name);
  ASSERT_TRUE(WriteBest(&fs_, "c", 2).ok());
  EXPECT_THAT(SetAsideAfter(&fs_, "c", 1).value(),
              ElementsAre("c/set-aside-step-00000002", "c/set-aside-step-00000003-2"));
  EXPECT_THAT(ListCheckpoints(&fs_, "c").value(), ElementsAre(1));
  EXPECT_TRUE(absl::IsNotFound(ReadBest(&fs_, "c").status()));
}

TEST_F(CheckpointFolderTest, ABestThatIsNotLaterStays) {
  for (const char* name : {"step-00000001", "step-00000002"}) Make(name);
  ASSERT_TRUE(WriteBest(&fs_, "c", 1).ok());
  ASSERT_TRUE(SetAsideAfter(&fs_, "c", 1).ok());
  EXPECT_EQ(ReadBest(&fs_, "c").value(), 1);
}

TEST_F(CheckpointFolderTest, NothingIsPrunedWhileTheBestCannotBeRead) {
  for (const char* name : {"step-00000001", "step-00000002"}) Make(name);
  ASSERT_TRUE(fs_.Create("c/best").value()->Append("garbage").ok());
  EXPECT_EQ(TroubleOf(Prune(&fs_, "c", 1, 2).status()), Trouble::kCheckpoint);
  EXPECT_THAT(ListCheckpoints(&fs_, "c").value(), ElementsAre(1, 2));
}

TEST_F(CheckpointFolderTest, WhatWasJustWrittenIsKeptEvenAmongLaterOnes) {
  for (const char* name : {"step-00000001", "step-00000008", "step-00000009"}) Make(name);
  EXPECT_THAT(Prune(&fs_, "c", 1, 1).value(), ElementsAre(8));
  EXPECT_THAT(ListCheckpoints(&fs_, "c").value(), ElementsAre(1, 9));
}

}  // namespace
}  // namespace lockstep::train
