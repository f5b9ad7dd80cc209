#include "comm/bench/comm_bench.h"

#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/run_ranks.h"

namespace lockstep::comm {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// What rank 0 prints, over `size` ranks.
absl::StatusOr<std::string> Output(const CommBenchOptions& options, int size,
                                   const std::string& backend = "shm") {
  std::vector<std::ostringstream> outs(size);
  RETURN_IF_ERROR(testing::RunRanks({.size = size, .backend = backend}, [&](Communicator& comm) {
    return RunCommBench(options, comm, outs[comm.rank()]);
  }));
  for (int rank = 1; rank < size; ++rank) EXPECT_EQ(outs[rank].str(), "");
  return outs[0].str();
}

CommBenchOptions Small(const std::string& collective) {
  CommBenchOptions options;
  options.collective = collective;
  options.min_bytes = 4000;
  options.max_bytes = 40000;
  options.step_factor = 10;
  options.iterations = 2;
  options.warmup = 1;
  return options;
}

// The fields of the lines that are no comments.
std::vector<std::vector<std::string>> Rows(const std::string& output) {
  std::vector<std::vector<std::string>> rows;
  for (absl::string_view line : absl::StrSplit(output, '\n')) {
    if (line.empty() || line[0] == '#') continue;
    rows.push_back(absl::StrSplit(line, ' ', absl::SkipEmpty()));
  }
  return rows;
}

TEST(CommBenchTest, EveryCollectiveIsRightInEveryTypeAndOperation) {
  for (const std::string& collective : BenchCollectives()) {
    CommBenchOptions options = Small(collective);
    const bool lanes = collective == "reduce_lanes";
    options.dtype = lanes ? "double" : "all";
    options.op = lanes ? "sum" : "all";
    options.root = -1;
    const auto output = Output(options, 3);
    ASSERT_TRUE(output.ok()) << collective << ": " << output.status();
    EXPECT_THAT(*output, HasSubstr("# Out of bounds values : 0 OK"));
    for (const auto& row : Rows(*output)) {
      ASSERT_EQ(row.size(), 17u) << collective;
      EXPECT_EQ(row[8], "0");
      EXPECT_EQ(row[12], "0");
    }
  }
}

TEST(CommBenchTest, ColumnsAreThoseOfNcclTests) {
  const auto output = Output(Small("all_reduce"), 2);
  ASSERT_TRUE(output.ok());
  const auto rows = Rows(*output);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(std::vector<std::string>(rows[0].begin(), rows[0].begin() + 5),
            (std::vector<std::string>{"4000", "1000", "float", "sum", "-1"}));
  EXPECT_EQ(rows[1][0], "40000");
  EXPECT_THAT(
      *output,
      AllOf(
          HasSubstr("#       size         count      type   redop    root     time   algbw   busbw  #wrong"),
          HasSubstr("#        (B)    (elements)                               (us)  (GB/s)  (GB/s)"),
          HasSubstr("# nThread 1 nGpus 0 minBytes 4000 maxBytes 40000 step: 10(factor)"),
          HasSubstr("#  Rank  1 Group  0 Pid"), HasSubstr("# Avg bus bandwidth    : "),
          HasSubstr("# Collective test concluded: all_reduce")));
}

TEST(CommBenchTest, SizeOfGatheredDataIsTheWhole) {
  const auto output = Output(Small("all_gather"), 4, "tcp");
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(Rows(*output)[0][0], "4000");
  EXPECT_EQ(Rows(*output)[0][1], "250");
  EXPECT_EQ(Rows(*output)[0][3], "none");
}

TEST(CommBenchTest, UncheckedIsNotAvailable) {
  CommBenchOptions options = Small("all_reduce");
  options.check = 0;
  options.per_iteration = 3;
  options.plain_buffers = true;
  EXPECT_EQ(Rows(*Output(options, 2))[0][8], "N/A");
}

TEST(CommBenchTest, NonsenseIsNamedBeforeAnythingRuns) {
  const auto error = [](CommBenchOptions options) {
    const absl::Status status = Output(options, 2).status();
    EXPECT_EQ(TroubleOf(status), Trouble::kConfig) << status;
    return std::string(status.message());
  };
  EXPECT_THAT(error(Small("all_deduce")), AllOf(HasSubstr("'all_deduce'"), HasSubstr("reduce_scatter")));
  CommBenchOptions options = Small("all_reduce");
  options.dtype = "floaty";
  EXPECT_THAT(error(options), HasSubstr("bfloat16"));
  options = Small("all_reduce");
  options.algorithm = "magic";
  EXPECT_THAT(error(options), HasSubstr("two_shot"));
  options = Small("reduce_lanes");
  options.algorithm = "ring";
  EXPECT_THAT(error(options), HasSubstr("lane tree"));
  options = Small("broadcast");
  options.root = 7;
  EXPECT_THAT(error(options), HasSubstr("root 7"));
}

TEST(ParseSizeTest, Units) {
  EXPECT_EQ(*ParseSize("1K"), 1024u);
  EXPECT_EQ(*ParseSize("32M"), size_t{32} << 20);
  EXPECT_EQ(*ParseSize("1.5g"), size_t{3} << 29);
  EXPECT_EQ(*ParseSize("17"), 17u);
  for (const char* bad : {"", "K", "-1", "1T", "x", "nan", "1e30G"}) EXPECT_FALSE(ParseSize(bad).ok()) << bad;
}

}  // namespace
}  // namespace lockstep::comm
