#include "runtime/train/poison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>

namespace lockstep::train {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

const WorkMark kLane{.step = 7, .lane = 3, .stage = WorkStage::kLane, .item = 2};
const WorkMark kDecode{.step = 9, .lane = 1, .stage = WorkStage::kDecode, .item = 530};

TEST(DeathsTest, TheNewestAttemptIsReadBack) {
  const std::string journal =
      absl::StrCat(DeathLine(kLane, 1), "\n", DeathLine(kDecode, 2), "\n", DeathLine(kLane, 2), "\n");
  const Deaths deaths = NewestDeaths(journal);
  EXPECT_EQ(deaths.attempt, 2);
  EXPECT_THAT(deaths.marks, ElementsAre(kDecode, kLane));
  EXPECT_EQ(NewestDeaths("").attempt, 0);
}

TEST(DeathsTest, LinesThatAreNoneArePassedOver) {
  const std::string torn = DeathLine(kLane, 5).substr(0, 30);
  const Deaths deaths = NewestDeaths(absl::StrCat("{}\n[1]\nnull\n{\"step\": \"x\"}\n\xff\xfe\n",
                                                  DeathLine(kLane, 1), "\n{\"step\": 1, \"lane\": 1e300, ",
                                                  "\"item\": 1, \"attempt\": 9, \"stage\": 3}\n", torn));
  EXPECT_EQ(deaths.attempt, 1);
  EXPECT_THAT(deaths.marks, ElementsAre(kLane));
}

TEST(DeathsTest, OnlyTheVerySamePlaceCounts) {
  for (const auto& change : std::vector<std::function<void(WorkMark*)>>{
           [](WorkMark* m) { ++m->step; }, [](WorkMark* m) { ++m->lane; }, [](WorkMark* m) { ++m->item; },
           [](WorkMark* m) { m->stage = WorkStage::kDecode; }}) {
    WorkMark other = kLane;
    change(&other);
    EXPECT_THAT(AtTheSamePlace({other}, {kLane}), IsEmpty());
  }
  EXPECT_THAT(AtTheSamePlace({kDecode, kLane}, {kLane}), ElementsAre(kLane));
}

class MarksTest : public ::testing::Test {
 protected:
  MarksTest() {
    std::string folder = (std::filesystem::temp_directory_path() / "lockstep-marks-XXXXXX").string();
    EXPECT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
    std::filesystem::create_directory(folder_ + "/attempts");
  }
  ~MarksTest() override { std::filesystem::remove_all(folder_); }

  std::string PathOf(const std::string& name) const { return folder_ + "/attempts/" + name; }

  // A process that is killed in the middle of work.
  void DieAt(const std::string& name, const std::vector<WorkMark>& marks, int operators) {
    const pid_t child = fork();
    if (child == 0) {
      auto file = WorkMarks::Create(PathOf(name));
      if (!file.ok()) _exit(1);
      {
        const WorkMarks::Scope over(file->get(), {.step = 1, .lane = 0});  // done in good order
      }
      std::vector<std::unique_ptr<WorkMarks::Scope>> scopes;
      for (const WorkMark& mark : marks) {
        scopes.push_back(std::make_unique<WorkMarks::Scope>(file->get(), mark));
        for (int i = 0; i < operators; ++i) scopes.back()->Advance();
      }
      raise(SIGKILL);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << status;
  }

  std::vector<WorkMark> Collect() {
    auto poison =
        CollectDeaths(RealFileSystem(), folder_ + "/attempts", folder_ + "/attempts.jsonl", log_.get());
    EXPECT_TRUE(poison.ok()) << poison.status();
    return poison.ok() ? *poison : std::vector<WorkMark>();
  }
  bool HasFile(const std::string& name) const { return std::filesystem::exists(PathOf(name)); }

  std::string folder_;
  std::unique_ptr<Logger> log_ = MakeStderrLogger(-1, LogLevel::kError);
};

TEST_F(MarksTest, SurviveAKill) {
  DieAt("a", {kLane, kDecode}, 0);
  const auto marks = ReadMarksOfTheDead(PathOf("a"));
  ASSERT_TRUE(marks.ok()) << marks.status();
  EXPECT_THAT(**marks, UnorderedElementsAre(kLane, kDecode));
}

TEST_F(MarksTest, OperatorsAreCounted) {
  DieAt("a", {kLane}, 5);
  EXPECT_EQ((**ReadMarksOfTheDead(PathOf("a")))[0].item, kLane.item + 5);
}

TEST_F(MarksTest, ALivingProcessIsLeftAlone) {
  auto living = WorkMarks::Create(PathOf("living"));
  ASSERT_TRUE(living.ok()) << living.status();
  const WorkMarks::Scope scope(living->get(), kLane);
  EXPECT_EQ(*ReadMarksOfTheDead(PathOf("living")), std::nullopt);
  EXPECT_THAT(Collect(), IsEmpty());
  EXPECT_TRUE(HasFile("living"));
}

TEST_F(MarksTest, AGoodEndTakesTheFileAway) {
  { ASSERT_TRUE(WorkMarks::Create(PathOf("a")).ok()); }
  EXPECT_FALSE(HasFile("a"));
}

TEST_F(MarksTest, TwoDeathsInARowAtOnePlaceArePoison) {
  DieAt("a", {kLane}, 0);
  EXPECT_THAT(Collect(), IsEmpty()) << "once is no proof";
  EXPECT_FALSE(HasFile("a"));
  EXPECT_THAT(Collect(), IsEmpty()) << "nobody has died since";
  DieAt("a", {kLane}, 1);
  EXPECT_THAT(Collect(), IsEmpty()) << "another operator";
  DieAt("b", {kDecode}, 0);
  DieAt("c", {kLane}, 1);
  EXPECT_THAT(Collect(), ElementsAre([] {
                WorkMark mark = kLane;
                ++mark.item;
                return mark;
              }()));
  DieAt("a", {kLane}, 0);
  EXPECT_THAT(Collect(), IsEmpty()) << "not in a row";
}

TEST_F(MarksTest, FilesOfAnotherKindAreNamedAndLeft) {
  for (const std::string& contents : {std::string(), std::string("LSMARKS1"), std::string(10000, 'x')}) {
    std::ofstream(PathOf("odd")) << contents;
    EXPECT_EQ(TroubleOf(ReadMarksOfTheDead(PathOf("odd")).status()), Trouble::kData);
    EXPECT_THAT(Collect(), IsEmpty());
    EXPECT_TRUE(HasFile("odd"));
  }
}

TEST_F(MarksTest, MoreWorkThanSlotsGoesUnmarked) {
  auto marks = WorkMarks::Create(PathOf("a"));
  ASSERT_TRUE(marks.ok());
  std::vector<std::unique_ptr<WorkMarks::Scope>> scopes;
  for (int i = 0; i < WorkMarks::kSlots + 3; ++i) {
    scopes.push_back(std::make_unique<WorkMarks::Scope>(marks->get(), kLane));
    scopes.back()->Advance();
  }
}

}  // namespace
}  // namespace lockstep::train
