// Ranks die, hang, come and go while a run trains, and it ends as the calm run, bit for bit. Through the real
// program and real processes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "tests/integration/elastic_run.h"

namespace lockstep::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class Elastic : public ElasticRun {};

TEST_F(Elastic, DeathsOneByOneDownToOneRank) {
  const Traces calm = Calm();
  // Rank 0 among them. `rank` is the one that the launcher gave.
  const std::string faults = "step.begin:2:11:kill,step.before_vote:0:20:kill,step.committed:1:31:kill";
  ExpectSurvives(calm, WithoutRestarts(CommandFor("launch", 4, StartWith::kElastic, faults)), "4");
  Subprocess version({"/usr/bin/env", LOCKSTEP_MPIRUN, "--version"});
  (void)version.Wait();
  if (!absl::StrContains(version.Output(), "Open MPI"))
    GTEST_SKIP() << "the other launcher ends all with one";
  ExpectSurvives(calm, CommandFor("mpirun", 4, StartWith::kRecovery, faults), "4");
}

// One death at every place of a step, a validation and a save, of the rank that writes and of another.
TEST_F(Elastic, DeathsAtEveryPlace) {
  const Traces calm = Calm();
  const std::vector<std::string> places = {
      "step.begin:R:14",      "step.fetch:R:14:2",      "step.before_vote:R:14", "step.after_vote:R:14",
      "step.update:R:14",     "step.mid_update:R:14",   "step.committed:R:14",   "observe.before:R:14",
      "observe.between:R:14", "observe.between:R:14:2", "observe.after:R:14",    "evaluate.begin:R:18",
      "save.begin:R:14",      "save.commit:R:*",        "result.before:R:*"};
  int number = 0;
  for (const std::string& place : places) {
    for (const char* rank : {"0", "2"}) {
      const bool of_writer = absl::StartsWith(place, "observe") || absl::StartsWith(place, "save.commit");
      if (of_writer && *rank != '0') continue;
      std::vector<std::string> words = absl::StrSplit(place, ':');
      words[1] = rank;
      words.insert(words.begin() + 3, "kill");
      ExpectSurvives(calm,
                     WithoutRestarts(CommandFor(absl::StrCat("place-", ++number), 3, StartWith::kElastic,
                                                absl::StrJoin(words, ":"))),
                     "2");
    }
  }
}

// The supervisor waits before it starts all again, and is told to stop meanwhile: the run is not done.
TEST_F(Elastic, ASignalWhileNobodyIsThere) {
  save_every_ = 0;
  const auto run = work_.Start(CommandFor("nobody", 1, StartWith::kElastic, "step.begin:0:5:kill"));
  ASSERT_TRUE(run->WaitForOutput("starting all again from the newest checkpoint in 1.6s", 1))
      << run->Output();
  run->Signal(SIGTERM);
  EXPECT_EQ(run->Wait(), 143) << run->Output();
}

// A rank dies before all have met: mpirun does not end the others, and PMIx waits for ever.
TEST_F(Elastic, ADeathBeforeAllHaveMetEndsTheStart) {
  for (const char* faults :
       {"start.meet:1:*:kill,start.meet:2:*:delay=700", "start.meet:1:*:delay=700,start.meet:1:*:kill"}) {
    Command command = CommandFor("unmet", 3, StartWith::kRecovery, faults);
    command.arguments.insert(command.arguments.end(), {"--set", "execution.comm.connect_seconds=2"});
    const auto begin = std::chrono::steady_clock::now();
    (void)work_.Train(command);
    EXPECT_TRUE(work_.RanksEnd("unmet", 10)) << faults;
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(40)) << faults;
    EXPECT_EQ(work_.ResultField("unmet", "status"), "") << faults;
  }
}

TEST_F(Elastic, SeveralAtOnceAndMoreWhileTheOthersRecover) {
  const Traces calm = Calm();
  const std::vector<std::string> schedules = {
      "step.begin:0:9:kill,step.begin:1:9:kill,step.begin:3:9:kill",
      "step.after_vote:1:9:kill,recovery.begin:0:*:kill", "step.after_vote:1:9:kill,recovery.meet:0:*:kill",
      "step.after_vote:1:9:kill,recovery.rebuild:0:*:kill,recovery.begin:2:*:kill:2",
      "step.begin:0:9:kill,takeover.begin:1:*:kill,takeover.cut:2:*:kill",
      // Rank 3 has committed step 9, the others have not, and it dies while it hands the state over.
      "step.before_vote:0:10:kill,recovery.transfer:3:*:kill"};
  int number = 0;
  for (const std::string& faults : schedules) {
    ExpectSurvives(
        calm, WithoutRestarts(CommandFor(absl::StrCat("several-", ++number), 4, StartWith::kElastic, faults)),
        "");
  }
}

TEST_F(Elastic, TheDeadAreStartedAgainAndJoin) {
  steps_ = 3000;
  save_every_ = 500;
  const Traces calm = Calm();
  const auto run = work_.Start(CommandFor("join", 3, StartWith::kElastic));
  for (int round = 0; round < 3; ++round) {
    ASSERT_TRUE(GoesOn("join", 5)) << run->Output();
    ASSERT_TRUE(HasRanks("join", "3 ranks")) << run->Output();
    const std::vector<pid_t> ranks = work_.Ranks("join");
    ASSERT_FALSE(ranks.empty());
    kill(ranks[round % ranks.size()], SIGKILL);
  }
  EXPECT_EQ(run->Wait(), 0) << run->Output();
  ExpectCalm(calm, "join", run->Output());
}

TEST_F(Elastic, DeathsOfNewcomers) {
  steps_ = 3000;
  save_every_ = 500;
  const Traces calm = Calm();
  // A process that is started again reads the list again: each newcomer in this place dies.
  for (const char* place : {"join.ask", "join.admitted", "recovery.transfer", "recovery.rebuild"}) {
    Command command = CommandFor(absl::StrCat("newcomer-", place), 3, StartWith::kElastic,
                                 absl::StrCat("step.begin:1:9:kill,", place, ":1:*:kill"));
    command.launcher_arguments = {"--max-restarts", "2"};
    ExpectSurvives(calm, command, "");
  }
}

TEST_F(Elastic, AHangIsVotedOut) {
  deadline_ = 2;
  const Traces calm = Calm();
  ExpectSurvives(calm, WithoutRestarts(CommandFor("hang", 3, StartWith::kElastic, "step.begin:0:9:stop")),
                 "2");
  ExpectSurvives(
      calm, WithoutRestarts(CommandFor("hang-2", 3, StartWith::kElastic, "step.after_vote:1:9:stop")), "2");
}

TEST_F(Elastic, AllDeadStartsFromTheCheckpoint) {
  steps_ = 3000;
  save_every_ = 97;
  const Traces calm = Calm();
  const auto run = work_.Start(CommandFor("all", 2, StartWith::kElastic));
  ASSERT_TRUE(GoesOn("all", 100)) << run->Output();
  for (const pid_t rank : work_.Ranks("all")) kill(rank, SIGSTOP);  // so that none notices the others' deaths
  for (const pid_t rank : work_.Ranks("all")) kill(rank, SIGKILL);
  EXPECT_EQ(run->Wait(), 0) << run->Output();
  EXPECT_THAT(run->Output(), HasSubstr("starting all again"));
  ExpectCalm(calm, "all", run->Output());
}

TEST_F(Elastic, WithoutRecoveryTheWholeIsStartedAgain) {
  steps_ = 3000;
  save_every_ = 97;
  const Traces calm = Calm();
  Command command = CommandFor("off", 3, StartWith::kElastic);
  command.arguments.insert(command.arguments.end(), {"--set", "execution.recovery=OFF"});
  const auto run = work_.Start(command);
  ASSERT_TRUE(GoesOn("off", 100)) << run->Output();
  kill(work_.Ranks("off").back(), SIGKILL);
  EXPECT_EQ(run->Wait(), 0) << run->Output();
  EXPECT_THAT(run->Output(), HasSubstr("starting all again"));
  EXPECT_EQ(work_.ResultField("off", "generations"), "1");
  ExpectCalm(calm, "off", run->Output());
}

TEST_F(Elastic, AStrangerIsRefusedWhileTrainingGoesOn) {
  steps_ = 3000;
  save_every_ = 97;
  const Traces calm = Calm();
  const auto run = work_.Start(CommandFor("stranger", 2, StartWith::kElastic));
  ASSERT_TRUE(GoesOn("stranger", 3)) << run->Output();
  Command other = CommandFor("stranger", 1, StartWith::kNothing);
  other.arguments.insert(other.arguments.end(), {"--set", "seed=77"});
  other.environment = {"LOCKSTEP_JOIN=1"};
  const Ended refused = work_.Train(other);
  EXPECT_EQ(refused.code, 2) << refused.output;
  EXPECT_THAT(refused.output, HasSubstr("recipe"));
  EXPECT_EQ(run->Wait(), 0) << run->Output();
  ExpectCalm(calm, "stranger", run->Output());
}

TEST_F(Elastic, CtlChangesARunWhileItTrains) {
  steps_ = 6000;
  save_every_ = 0;
  const Traces calm = Calm();
  const auto run = work_.Start(CommandFor("ctl", 3, StartWith::kElastic));
  ASSERT_TRUE(GoesOn("ctl", 3)) << run->Output();
  EXPECT_EQ(Ctl("ctl", "pause").code, 0);
  EXPECT_EQ(Ctl("ctl", "pause").code, 0)
      << "again; and the vote that carried the first was the last of a step";
  const int lines = LinesOf("ctl");
  const Ended status = Ctl("ctl", "status");
  EXPECT_THAT(status.output,
              AllOf(HasSubstr("paused"), HasSubstr("3 ranks as generation 1"), HasSubstr("rank 2: ")));
  EXPECT_EQ(Ctl("ctl", "shrink 1").code, 0);
  EXPECT_TRUE(HasRanks("ctl", "1 rank"));
  EXPECT_EQ(Ctl("ctl", "shrink 0").code, 2);
  EXPECT_EQ(Ctl("ctl", "grow 9").code, 2);
  EXPECT_EQ(Ctl("ctl", "grow 2").code, 0);
  EXPECT_TRUE(HasRanks("ctl", "2 ranks")) << run->Output();
  EXPECT_EQ(Ctl("ctl", "checkpoint").code, 0);
  EXPECT_TRUE(WaitUntil([&] { return fs::exists(work_.Path("ctl/checkpoints")); }));
  EXPECT_EQ(LinesOf("ctl"), lines) << "it stands still";
  const Ended second = work_.Train(CommandFor("ctl", 2, StartWith::kElastic));
  EXPECT_EQ(second.code, 2);
  EXPECT_THAT(second.output, HasSubstr("supervisor"));
  EXPECT_EQ(Ctl("ctl", "resume").code, 0);
  ASSERT_TRUE(GoesOn("ctl", 3)) << run->Output();
  EXPECT_EQ(Ctl("ctl", "stop").code, 0);
  EXPECT_EQ(run->Wait(), 0) << run->Output();
  EXPECT_EQ(work_.ResultField("ctl", "status"), "\"interrupted\"");
  EXPECT_EQ(Ctl("ctl", "status").code, 2) << "nobody is there any more";
  ExpectSurvives(calm, CommandFor("ctl", 2, StartWith::kElastic), "1");
}

// LOCKSTEP_SEED and LOCKSTEP_ROUNDS choose other schedules, and more of them.
TEST_F(Elastic, KilledAndStoppedFromOutsideAtRandom) {
  steps_ = 4000;
  save_every_ = 97;
  deadline_ = 3;
  const Traces calm = Calm();
  const char* const seed_text = std::getenv("LOCKSTEP_SEED");
  const char* const rounds_text = std::getenv("LOCKSTEP_ROUNDS");
  const unsigned seed = seed_text != nullptr ? std::strtoul(seed_text, nullptr, 10) : 20260131;
  const int rounds = rounds_text != nullptr ? std::atoi(rounds_text) : 1;
  std::mt19937 random(seed);
  for (int round = 0; round < rounds; ++round) {
    const std::string out = absl::StrCat("random-", round);
    const auto run = work_.Start(CommandFor(out, 4, StartWith::kElastic));
    for (int i = 0; i < 5; ++i) {
      if (!GoesOn(out, 1 + static_cast<int>(random() % 50))) break;
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 20000));
      std::vector<pid_t> ranks = work_.Ranks(out);
      std::shuffle(ranks.begin(), ranks.end(), random);
      const size_t victims = std::min<size_t>(1 + random() % 2, ranks.size());
      for (size_t v = 0; v < victims; ++v) kill(ranks[v], random() % 4 == 0 ? SIGSTOP : SIGKILL);
    }
    EXPECT_EQ(run->Wait(), 0) << "seed " << seed << " round " << round << "\n" << run->Output();
    SCOPED_TRACE(absl::StrCat("seed ", seed, " round ", round));
    ExpectCalm(calm, out, run->Output());
  }
}

}  // namespace
}  // namespace lockstep::testing
