// What a failed world leaves behind, and how a long step is told from a hang.
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <string>
#include <vector>

#include "comm/explain.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/core/clock.h"
#include "runtime/core/file_system.h"
#include "tests/testing/rank_processes.h"
#include "tests/testing/run_ranks.h"

namespace lockstep::comm {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;

absl::Status AllReduceOnes(Communicator& comm, size_t count) {
  std::vector<float> values(count, 1);
  const Buffer buffer = BufferOf(absl::MakeSpan(values));
  return comm.AllReduce(buffer, buffer, ReduceOp::kSum);
}

// Works for `duration`, and shows it.
void Work(Communicator& comm, absl::Duration duration) {
  const Deadline end = Deadline::After(duration);
  while (!end.Passed()) {
    comm.NoteProgress();
    absl::SleepFor(absl::Milliseconds(5));
  }
}

absl::Status SendOne(Communicator& comm, int to) {
  const float value = 1;
  return comm.Send(ConstBuffer(&value, 1, DType::kF32), to);
}
absl::Status RecvOne(Communicator& comm, int from) {
  float value = 0;
  return comm.Recv(Buffer{&value, 1, DType::kF32}, from);
}

class DiagnosisTest : public ::testing::TestWithParam<std::string> {
 protected:
  DiagnosisTest() : folder_(absl::StrCat(::testing::TempDir(), "lockstep-dumps-", getpid())) {
    EXPECT_TRUE(RealFileSystem()->CreateFolders(folder_).ok());
  }
  ~DiagnosisTest() override { DeleteTree(RealFileSystem(), folder_).IgnoreError(); }

  CommunicatorOptions Options(absl::Duration deadline = absl::Seconds(20)) const {
    CommunicatorOptions options;
    options.backend = GetParam();
    options.deadline = deadline;
    options.dump_folder = folder_;
    return options;
  }
  std::vector<absl::Status> Run(int size, const CommunicatorOptions& options,
                                const testing::RankFunction& rank) const {
    return testing::StatusesOfMeetings(
        {.size = size, .what = "diagnosis"}, [&](Meeting& meeting) -> absl::Status {
          ASSIGN_OR_RETURN(const auto comm, MakeCommunicator(meeting, options));
          return rank(*comm);
        });
  }
  std::vector<std::string> Dumps() const {
    return Glob(RealFileSystem(), JoinPath(folder_, "comm-dump-*.jsonl"))
        .value_or(std::vector<std::string>{});
  }
  std::string Explained() const {
    const auto text = ExplainFiles(Dumps());
    return text.ok() ? *text : text.status().ToString();
  }

  const std::string folder_;
};

// Rank 2 waits for rank 1, which waits for rank 0, which works for two deadlines.
TEST_P(DiagnosisTest, ALongStepIsNoHang) {
  const auto statuses = Run(3, Options(absl::Milliseconds(1500)), [](Communicator& comm) -> absl::Status {
    RETURN_IF_ERROR(comm.Barrier());
    if (comm.rank() == 0) Work(comm, absl::Seconds(3.5));
    if (comm.rank() > 0) RETURN_IF_ERROR(RecvOne(comm, comm.rank() - 1));
    if (comm.rank() < 2) RETURN_IF_ERROR(SendOne(comm, comm.rank() + 1));
    return comm.Barrier();
  });
  for (const absl::Status& status : statuses) EXPECT_TRUE(status.ok()) << status;
  EXPECT_TRUE(Dumps().empty());
}

// Rank 2 waits for rank 1, which waits for rank 0, which does not come. Rank 2 gives up first, and knows better
// than to blame rank 1 alone.
TEST_P(DiagnosisTest, WhoIsAwaitedThroughOthersIsNamed) {
  std::atomic<bool> over{false};
  const auto statuses = Run(3, Options(), [&](Communicator& comm) -> absl::Status {
    RETURN_IF_ERROR(comm.Barrier());
    float value = 0;
    CallOptions patience;
    patience.deadline = comm.rank() == 2 ? absl::Seconds(3) : absl::Seconds(4);
    if (comm.rank() > 0) {
      const absl::Status status = comm.Recv(Buffer{&value, 1, DType::kF32}, comm.rank() - 1, patience);
      over = true;
      return status;
    }
    while (!over) absl::SleepFor(absl::Milliseconds(10));
    return absl::OkStatus();
  });
  for (const int rank : {1, 2}) {
    EXPECT_TRUE(absl::IsDeadlineExceeded(statuses[rank])) << statuses[rank];
    EXPECT_THAT(std::string(statuses[rank].message()), HasSubstr("of rank 0 is known: it is alive"));
  }
}

TEST_P(DiagnosisTest, AFrozenRankIsNamedAsFrozen) {
  std::atomic<bool> over{false};
  const auto statuses = Run(2, Options(absl::Milliseconds(1200)), [&](Communicator& comm) -> absl::Status {
    RETURN_IF_ERROR(comm.Barrier());
    if (comm.rank() == 0) {
      const absl::Status status = AllReduceOnes(comm, 10);
      over = true;
      return status;
    }
    Work(comm, absl::Milliseconds(800));
    while (!over) absl::SleepFor(absl::Milliseconds(10));
    return absl::OkStatus();
  });
  EXPECT_TRUE(absl::IsDeadlineExceeded(statuses[0])) << statuses[0];
  EXPECT_THAT(
      std::string(statuses[0].message()),
      AllOf(HasSubstr("rank 1"), HasSubstr("stopped or stuck: it has not got on with its work for ")));
}

TEST_P(DiagnosisTest, WorkWithoutEndIsAHangToo) {
  if (GetParam() == "tcp")
    GTEST_SKIP() << "pulses are half a second apart: ten deadlines of that take too long";
  std::atomic<bool> over{false};
  const auto statuses = Run(2, Options(absl::Milliseconds(200)), [&](Communicator& comm) -> absl::Status {
    RETURN_IF_ERROR(comm.Barrier());
    if (comm.rank() == 0) {
      const absl::Status status = AllReduceOnes(comm, 10);
      over = true;
      return status;
    }
    while (!over) Work(comm, absl::Milliseconds(20));
    return absl::OkStatus();
  });
  EXPECT_TRUE(absl::IsDeadlineExceeded(statuses[0])) << statuses[0];
  EXPECT_THAT(std::string(statuses[0].message()), AllOf(HasSubstr("rank 1"), HasSubstr("alive and busy")));
}

TEST_P(DiagnosisTest, AMismatchIsExplained) {
  const auto statuses = Run(3, Options(absl::Seconds(3)), [](Communicator& comm) -> absl::Status {
    for (int round = 0; round < 5; ++round) RETURN_IF_ERROR(AllReduceOnes(comm, 10));
    RETURN_IF_ERROR(AllReduceOnes(comm, comm.rank() == 1 ? 11 : 10));
    return comm.Barrier();
  });
  for (const absl::Status& status : statuses) EXPECT_FALSE(status.ok());
  EXPECT_EQ(Dumps().size(), 3u);
  EXPECT_THAT(
      Explained(),
      AllOf(HasSubstr("agree up to all_reduce #4 of 10 F32"),
            HasSubstr("part at collective #5, where they called different things"),
            // Over a network one of them may hear of it first.
            AnyOf(HasSubstr("ranks 0, 2: all_reduce #5 of 10 F32"),
                  HasSubstr("rank 0: all_reduce #5 of 10 F32"), HasSubstr("rank 2: all_reduce #5 of 10 F32")),
            HasSubstr("rank 1: all_reduce #5 of 11 F32"), HasSubstr("First to fail: rank ")));
}

TEST_P(DiagnosisTest, AMissingRankIsExplained) {
  std::atomic<int> over{0};
  Run(3, Options(absl::Milliseconds(500)), [&](Communicator& comm) -> absl::Status {
    RETURN_IF_ERROR(comm.Barrier());
    if (comm.rank() != 1) {
      const absl::Status status = AllReduceOnes(comm, 10);
      ++over;
      return status;
    }
    while (over < 2) absl::SleepFor(absl::Milliseconds(10));
    while (true) RETURN_IF_ERROR(AllReduceOnes(comm, 10));  // the first may find all that it needs
  });
  EXPECT_EQ(Dumps().size(), 3u);
  EXPECT_THAT(Explained(), HasSubstr("agree up to barrier #0"));
  EXPECT_THAT(Explained(), HasSubstr("First to fail: rank "));
  EXPECT_THAT(Explained(), HasSubstr("part at collective #1:"));
  EXPECT_THAT(Explained(), HasSubstr("the last was rank 1, "));
}

TEST_P(DiagnosisTest, AKilledRankIsExplained) {
  testing::RunRankProcesses(
      3, Options(),
      [](Communicator& comm) -> absl::Status {
        for (int round = 0;; ++round) {
          if (round == 10 && comm.rank() == 1) raise(SIGKILL);
          RETURN_IF_ERROR(AllReduceOnes(comm, 1000));
        }
      },
      nullptr, 20);
  EXPECT_EQ(Dumps().size(), 2u);
  EXPECT_THAT(Explained(), AllOf(HasSubstr("No dump of rank 1"), HasSubstr("part at collective #10:"),
                                 HasSubstr("ranks 0, 2 wait for rank 1."), HasSubstr("rank 1 died")));
}

TEST_P(DiagnosisTest, OnlyTheFirstFailureIsDumpedAndSplitsHaveFilesOfTheirOwn) {
  const auto statuses = Run(4, Options(), [](Communicator& comm) -> absl::Status {
    ASSIGN_OR_RETURN(const auto half, comm.Split(comm.rank() % 2, 0));
    RETURN_IF_ERROR(half->Barrier());
    half->Abort(DataError("first"));
    half->Abort(DataError("second"));
    if (half->Barrier().ok()) return absl::InternalError("a failed communicator goes on");
    return comm.Barrier();
  });
  for (const absl::Status& status : statuses) EXPECT_TRUE(status.ok()) << status;
  const auto paths = Dumps();
  ASSERT_EQ(paths.size(), 4u);
  EXPECT_THAT(paths[3], HasSubstr("comm-dump-rank-3-split-1.jsonl"));
  for (const std::string& path : paths) {
    const auto dump = ReadDump(path);
    ASSERT_TRUE(dump.ok()) << dump.status();
    EXPECT_THAT(dump->failure, HasSubstr("first"));
    EXPECT_EQ(dump->size, 2);
  }
  EXPECT_THAT(Explained(), HasSubstr("different communicators"));
  EXPECT_TRUE(ExplainFiles(std::vector<std::string>{paths[1], paths[3]}).ok());
}

class Listener : public Logger {
 public:
  void Log(LogLevel level, absl::string_view line) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (level == LogLevel::kWarning) warnings_.emplace_back(line);
  }
  std::vector<std::string> warnings() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return warnings_;
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> warnings_;
};

TEST_P(DiagnosisTest, ADumpThatCannotBeWrittenIsAWarning) {
  Listener log;
  CommunicatorOptions options = Options();
  options.dump_folder = JoinPath(folder_, "not/there");
  options.log = &log;
  const auto statuses = Run(2, options, [](Communicator& comm) -> absl::Status {
    RETURN_IF_ERROR(comm.Barrier());
    if (comm.rank() == 0) comm.Abort(DataError("enough"));
    while (comm.status().ok()) comm.Barrier().IgnoreError();
    return comm.status();
  });
  for (const absl::Status& status : statuses) EXPECT_THAT(std::string(status.message()), HasSubstr("enough"));
  ASSERT_EQ(log.warnings().size(), 2u);
  EXPECT_THAT(log.warnings()[0], AllOf(HasSubstr("could not be written"), HasSubstr("not/there")));
}

INSTANTIATE_TEST_SUITE_P(Backends, DiagnosisTest, ::testing::Values("shm", "tcp"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace lockstep::comm
