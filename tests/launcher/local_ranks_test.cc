// This program is three things: the test; with --launch, a launcher of ranks; with --rank, such a rank.
#include "launcher/local_ranks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "launcher/core_binding.h"
#include "launcher/stop_signal.h"
#include "tests/launcher/subprocess.h"

namespace lockstep::launcher {
namespace {

using ::testing::HasSubstr;
using testing::IsRunning;
using testing::Subprocess;
using testing::WaitUntil;

// Says who it is and does what `behaviour` asks, on rank 1 only where a rank is to fail.
int RunAsRank(const std::string& behaviour) {
  const int rank = std::atoi(std::getenv("LOCKSTEP_RANK"));
  const std::atomic<int>* stop = InstallStopSignals();
  if (behaviour == "deaf" && rank != 1) signal(SIGTERM, SIG_IGN);
  dprintf(STDOUT_FILENO, "rank %d of %s pid %d meeting %s job %s\n", rank, std::getenv("LOCKSTEP_SIZE"),
          getpid(), std::getenv("LOCKSTEP_MEETING"), std::getenv("LOCKSTEP_JOB"));
  if (behaviour == "end") return 0;
  if ((behaviour == "fail" || behaviour == "deaf") && rank == 1) {
    usleep(300000);
    return 3;
  }
  while (*stop == 0) usleep(1000);
  return ExitCodeOfSignal(*stop);
}

int RunAsLauncher(const char* ranks, const std::string& behaviour) {
  LocalRanksOptions options;
  options.ranks = std::atoi(ranks);
  options.arguments = {"--rank", behaviour};
  options.grace = absl::Milliseconds(200);
  const std::unique_ptr<Logger> log = MakeStderrLogger(-1);
  options.log = log.get();
  const absl::StatusOr<int> code = RunLocalRanks(options);
  return code.ok() ? *code : 99;
}

std::vector<std::string> Launch(int ranks, const std::string& behaviour) {
  return {"/proc/self/exe", "--launch", absl::StrCat(ranks), behaviour};
}

std::vector<pid_t> PidsIn(const std::string& output) {
  std::vector<pid_t> pids;
  for (absl::string_view line : absl::StrSplit(output, '\n', absl::SkipEmpty())) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    int pid = 0;
    if (words.size() > 5 && words[0] == "rank" && absl::SimpleAtoi(words[5], &pid)) pids.push_back(pid);
  }
  return pids;
}

bool NoneRuns(const std::vector<pid_t>& pids) {
  return WaitUntil([&] { return std::none_of(pids.begin(), pids.end(), IsRunning); });
}

TEST(LocalRanks, TellEachRankWhoItIs) {
  Subprocess launcher(Launch(3, "end"));
  EXPECT_EQ(launcher.Wait(), 0);
  const std::string output = launcher.Output();
  for (const char* rank : {"rank 0 of 3", "rank 1 of 3", "rank 2 of 3", "meeting fd:"}) {
    EXPECT_THAT(output, HasSubstr(rank));
  }
}

TEST(LocalRanks, PassSignalsOnAndEndWithTheirCode) {
  for (const auto& [signal, code] : {std::pair{SIGTERM, 143}, {SIGINT, 130}, {SIGUSR1, 0}}) {
    Subprocess launcher(Launch(2, "wait"));
    ASSERT_TRUE(launcher.WaitForOutput("rank", 2));
    launcher.Signal(signal);
    EXPECT_EQ(launcher.Wait(), code);
    EXPECT_THAT(launcher.Output(), Not(HasSubstr("error")));
  }
}

TEST(LocalRanks, EndWithTheCodeOfTheRankThatFailedAndStopTheOthers) {
  Subprocess launcher(Launch(3, "fail"));
  EXPECT_EQ(launcher.Wait(), 3);
  EXPECT_THAT(launcher.Output(), HasSubstr("rank 1 (pid"));
  EXPECT_TRUE(NoneRuns(PidsIn(launcher.Output())));
}

TEST(LocalRanks, AreKilledWhenTheyDoNotStopInTime) {
  Subprocess launcher(Launch(3, "deaf"));
  EXPECT_EQ(launcher.Wait(), 3);
  EXPECT_THAT(launcher.Output(), HasSubstr("2 ranks did not stop"));
  EXPECT_TRUE(NoneRuns(PidsIn(launcher.Output())));
}

TEST(LocalRanks, AKilledRankIsNamedWithItsSignal) {
  Subprocess launcher(Launch(2, "wait"));
  ASSERT_TRUE(launcher.WaitForOutput("rank", 2));
  kill(PidsIn(launcher.Output())[1], SIGKILL);
  EXPECT_EQ(launcher.Wait(), 137);
  EXPECT_THAT(launcher.Output(), HasSubstr("was killed by signal 9"));
}

TEST(LocalRanks, DieWithTheirLauncher) {
  Subprocess launcher(Launch(3, "wait"));
  ASSERT_TRUE(launcher.WaitForOutput("rank", 3));
  const std::vector<pid_t> pids = PidsIn(launcher.Output());
  ASSERT_EQ(pids.size(), 3);
  launcher.Signal(SIGKILL);
  EXPECT_EQ(launcher.Wait(), 137);
  EXPECT_TRUE(NoneRuns(pids));
}

TEST(DistributeCores, SharesDoNotOverlap) {
  const auto one = DistributeCores(1).value();
  ASSERT_EQ(one.size(), 1);
  const int cores = CPU_COUNT(&one[0]);
  EXPECT_GE(cores, 1);
  const auto each = DistributeCores(cores).value();
  ASSERT_EQ(each.size(), cores);
  cpu_set_t together;
  CPU_ZERO(&together);
  for (const cpu_set_t& set : each) {
    EXPECT_EQ(CPU_COUNT(&set), 1);
    CPU_OR(&together, &together, &set);
  }
  EXPECT_TRUE(CPU_EQUAL(&together, &one[0]));
  EXPECT_TRUE(DistributeCores(cores + 1).value().empty()) << "with too few cores nobody is bound";
}

}  // namespace
}  // namespace lockstep::launcher

int main(int argc, char** argv) {
  if (argc == 3 && std::string(argv[1]) == "--rank") return lockstep::launcher::RunAsRank(argv[2]);
  if (argc == 4 && std::string(argv[1]) == "--launch")
    return lockstep::launcher::RunAsLauncher(argv[2], argv[3]);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
