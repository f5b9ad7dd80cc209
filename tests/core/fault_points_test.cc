#include "runtime/core/fault_points.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace lockstep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<Fault> Parsed(absl::string_view text) {
  auto faults = ParseFaults(text);
  EXPECT_TRUE(faults.ok()) << faults.status();
  return faults.ok() ? *faults : std::vector<Fault>();
}

TEST(FaultPointsTest, TextIsReadAndWrittenBack) {
  std::vector<std::string> texts;
  for (const Fault& fault : Parsed("step.begin:1:7:kill, comm.send:*:*:stop;vote:0:2:delay=250 \n"
                                   "save.rename:0:0:error:3,update.parameters:2:9:flip=30,x:1:1:flip")) {
    texts.push_back(FaultText(fault));
  }
  EXPECT_THAT(texts, ElementsAre("step.begin:1:7:kill", "comm.send:*:*:stop", "vote:0:2:delay=250",
                                 "save.rename:0:0:error:3", "update.parameters:2:9:flip=30", "x:1:1:flip=0"));
  EXPECT_THAT(Parsed(" , ;"), IsEmpty());
}

TEST(FaultPointsTest, MalformedTextIsNamed) {
  for (const char* text :
       {"step", "step:1:2", "step:1:2:kill:1:1", ":1:2:kill", "step:a:2:kill", "step:-1:2:kill",
        "step:1:-2:kill", "step:1:2:burn", "step:1:2:kill=1", "step:1:2:delay", "step:1:2:delay=x",
        "step:1:2:delay=600001", "step:1:2:flip=-1", "step:1:2:flip=", "step:1:2:kill:0", "step:1:2:kill:*",
        "step:99999999999999999999:2:kill"}) {
    const auto faults = ParseFaults(absl::StrCat("good:0:0:error,", text));
    ASSERT_FALSE(faults.ok()) << text;
    EXPECT_EQ(TroubleOf(faults.status()), Trouble::kConfig);
    EXPECT_THAT(faults.status().message(), HasSubstr(absl::StrCat("'", text, "'")));
  }
}

TEST(FaultPointsTest, HappensAtItsPlaceRankAndStepOnce) {
  FaultPoints faults(Parsed("here:1:3:error"));
  faults.SetRank(1);
  faults.SetStep(2);
  EXPECT_TRUE(faults.Reach("here").ok());
  faults.SetStep(3);
  EXPECT_TRUE(faults.Reach("there").ok());
  EXPECT_THAT(faults.Unreached(), ElementsAre("here:1:3:error"));
  const absl::Status met = faults.Reach("here");
  EXPECT_EQ(met.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(met.message(), HasSubstr("here:1:3:error"));
  EXPECT_TRUE(faults.Reach("here").ok());
  EXPECT_THAT(faults.Unreached(), IsEmpty());
}

TEST(FaultPointsTest, OtherRanksAreLeftAlone) {
  FaultPoints faults(Parsed("here:1:*:error"));
  faults.SetRank(0);
  EXPECT_TRUE(faults.Reach("here").ok());
  EXPECT_THAT(faults.Unreached(), IsEmpty());  // none of its own
  EXPECT_TRUE(ReachFault(nullptr, "here").ok());
  FaultPoints none;
  EXPECT_TRUE(none.Reach("here").ok());
}

TEST(FaultPointsTest, HitsAreCounted) {
  FaultPoints faults(Parsed("here:*:*:error:3"));
  EXPECT_TRUE(faults.Reach("here").ok());
  EXPECT_TRUE(faults.Reach("here").ok());
  EXPECT_FALSE(faults.Reach("here").ok());
  EXPECT_TRUE(faults.Reach("here").ok());
}

TEST(FaultPointsTest, FlipChangesOneBitOfTheMemory) {
  std::array<std::byte, 4> memory{};
  FaultPoints faults(Parsed("here:*:*:flip=9,here:*:*:flip=33"));
  EXPECT_TRUE(faults.Reach("here", absl::MakeSpan(memory)).ok());
  EXPECT_THAT(memory, ElementsAre(std::byte{2}, std::byte{2}, std::byte{0}, std::byte{0}));
  FaultPoints nowhere(Parsed("here:*:*:flip=9"));
  EXPECT_TRUE(nowhere.Reach("here").ok());
}

TEST(FaultPointsTest, DelayIsWaitedOut) {
  FaultPoints faults(Parsed("here:*:*:delay=30"));
  const absl::Time begin = absl::Now();
  EXPECT_TRUE(faults.Reach("here").ok());
  EXPECT_GE(absl::Now() - begin, absl::Milliseconds(29));
}

// What happens to a child that comes to a fault.
int WaitStatusOfChild(absl::string_view text) {
  const std::vector<Fault> parsed = Parsed(text);
  const pid_t child = fork();
  if (child == 0) {
    FaultPoints faults(parsed);
    (void)faults.Reach("here");
    _exit(7);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, WUNTRACED), child);
  if (WIFSTOPPED(status)) {
    kill(child, SIGKILL);
    int gone = 0;
    waitpid(child, &gone, 0);
  }
  return status;
}

TEST(FaultPointsTest, KillAndStopAreTheSignals) {
  const int killed = WaitStatusOfChild("here:*:*:kill");
  EXPECT_TRUE(WIFSIGNALED(killed) && WTERMSIG(killed) == SIGKILL) << killed;
  const int stopped = WaitStatusOfChild("here:*:*:stop");
  EXPECT_TRUE(WIFSTOPPED(stopped) && WSTOPSIG(stopped) == SIGSTOP) << stopped;
  const int passed = WaitStatusOfChild("elsewhere:*:*:kill");
  EXPECT_TRUE(WIFEXITED(passed) && WEXITSTATUS(passed) == 7) << passed;
}

}  // namespace
}  // namespace lockstep
