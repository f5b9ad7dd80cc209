#include "comm/bench/comm_bench.h"

#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "comm/bench/bench_plot.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/run_ranks.h"

namespace lockstep::comm {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

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

TEST(CommBenchTest, VFormsAreThere) {
  for (const char* name : {"reduce_scatter_v", "all_gather_v", "gather_v", "scatter_v", "all_to_all_v"}) {
    CommBenchOptions options = Small(name);
    options.verify = true;
    options.min_bytes = 4;  // most parts are empty
    const auto output = Output(options, 4);
    ASSERT_TRUE(output.ok()) << name << ": " << output.status();
    EXPECT_THAT(*output, HasSubstr("# Out of bounds values : 0 OK"));
  }
}

TEST(CommBenchTest, NarrowWiresAndUnalignedDataAreRight) {
  for (const char* backend : {"shm", "tcp"}) {
    for (const char* collective : {"all_reduce", "reduce_lanes"}) {
      for (const char* wire : {"bf16", "f16"}) {
        CommBenchOptions options = Small(collective);
        options.wire = wire;
        options.unalign = 3;
        options.verify = true;
        const auto output = Output(options, 3, backend);
        EXPECT_TRUE(output.ok()) << backend << " " << collective << " " << wire << ": " << output.status();
      }
    }
  }
}

TEST(CommBenchTest, AllAlgorithmsRunAndAreDrawn) {
  for (const char* backend : {"shm", "tcp"}) {
    CommBenchOptions options = Small("all_reduce");
    options.algorithm = "all";
    options.plot_file = absl::StrCat(::testing::TempDir(), "/", backend, "_plot.svg");
    const auto output = Output(options, 3, backend);
    ASSERT_TRUE(output.ok()) << output.status();
    std::ifstream file(options.plot_file);
    const std::string svg((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    for (const char* name : {"auto", "one_shot", "two_shot", "ring", "halving_doubling", "tree"}) {
      EXPECT_THAT(*output, HasSubstr(absl::StrCat("# Algorithm: ", name, "\n")));
      EXPECT_THAT(svg, HasSubstr(absl::StrCat(">", name, "<")));
    }
    EXPECT_THAT(svg, AllOf(HasSubstr("bound: "), HasSubstr("stroke-dasharray"), HasSubstr("</svg>")));
  }
}

TEST(CommBenchTest, TooSlowIsAnError) {
  CommBenchOptions options = Small("broadcast");
  options.min_busbw = 1e9;
  const absl::Status status = Output(options, 2).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("bus bandwidth"));
}

TEST(CommBenchTest, ColumnsOfIterationsAndTimesOnDemand) {
  CommBenchOptions options = Small("all_reduce");
  options.per_iteration_columns = true;
  options.timestamps = true;
  options.in_place_only = true;
  const auto rows = Rows(*Output(options, 2));
  ASSERT_EQ(rows[0].size(), 17u + 8 + 2);  // date and time of day
  EXPECT_EQ(rows[0][5], "N/A");
  EXPECT_NE(rows[0][9], "N/A");
}

TEST(BoundTest, EverySizeHasALine) {
  CommBenchOptions options = Small("all_reduce");
  std::ostringstream out;
  ASSERT_TRUE(RunBoundBench(options, 2, out).ok());
  const auto rows = Rows(out.str());
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[1][0], "40000");
  EXPECT_FALSE(RunBoundBench(options, 1, out).ok());
}

TEST(PlotTest, StandsForItselfWhateverTheData) {
  const std::string svg =
      SvgOf({"<all> & more", "", {{"a", {{1024, 1}, {4096, 0}, {0, 3}}}, {"b", {}}, {"c", {{1e12, 1e-9}}}}});
  EXPECT_THAT(svg, AllOf(HasSubstr("&lt;all&gt; &amp; more"), HasSubstr(">1 KiB<"), HasSubstr("</svg>")));
  EXPECT_THAT(svg, Not(AnyOf(HasSubstr("nan"), HasSubstr("inf"))));
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
  options = Small("all_reduce");
  options.wire = "fp8";
  EXPECT_THAT(error(options), HasSubstr("bf16"));
  options.wire = "bf16";
  options.dtype = "double";
  EXPECT_THAT(error(options), HasSubstr("float"));
  options = Small("all_reduce");
  options.verify = true;
  options.per_iteration = 2;
  EXPECT_THAT(error(options), HasSubstr("-m 1"));
  options = Small("all_reduce");
  options.iterations = 0;
  EXPECT_THAT(error(options), HasSubstr("-n 0"));
  options = Small("all_reduce");
  options.min_bytes = 50000;
  EXPECT_THAT(error(options), HasSubstr("-b 50000 to -e 40000"));
  options = Small("broadcast");
  options.root = 7;
  EXPECT_THAT(error(options), HasSubstr("root 7"));
  options = Small("all_reduce");
  options.json_file = "/nowhere/results.json";
  EXPECT_THAT(error(options), HasSubstr("-J /nowhere/results.json"));
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
