// Training on tables and sequences, through the real program: CSV -> records -> statistics -> the same bits
// in any world.
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/example.pb.h"
#include "runtime/core/file_system.h"
#include "runtime/data/record_writer.h"
#include "tests/integration/training_run.h"
#include "tests/launcher/subprocess.h"

namespace lockstep::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kExample[] = LOCKSTEP_SOURCE_DIR "/examples/penguins.textproto";

std::string ReadFile(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

// The shipped example, with its data named in full.
std::string Penguins(const Workspace& work) {
  return work.WriteConfig("penguins", absl::StrReplaceAll(ReadFile(kExample), {{"examples/data", "DATA"}}));
}

double AccuracyOf(const Workspace& work, const std::string& out) {
  const std::string eval = work.ResultField(out, "eval");
  const size_t at = eval.find("\"accuracy\":");
  return at == std::string::npos ? 0 : std::stod(eval.substr(at + 11));
}

TEST(TableTraining, PenguinsAreToldApartTheSameInAnyWorld) {
  const Workspace work;
  const std::string config = Penguins(work);
  const Traces alone = work.TrainedTraces(config, "alone", 1);
  EXPECT_GE(AccuracyOf(work, "alone"), 0.97) << work.ResultField("alone", "eval");
  EXPECT_EQ(work.TrainedTraces(config, "two", 2), alone);
  EXPECT_EQ(work.TrainedTraces(config, "four", 4, {"execution.threads=1"}), alone);
  const Traces narrow =
      work.TrainedTraces(config, "narrow", 1, {"data.columns.column[6].linear={}", "seed=2"});
  EXPECT_NE(narrow.weights_sha256, alone.weights_sha256);
}

TEST(TableTraining, ResumedInAnotherWorld) {
  const Workspace work;
  const std::string config = Penguins(work);
  const Traces calm = work.TrainedTraces(config, "calm", 1, {"epochs=4"});
  for (const auto& [steps, ranks] : std::vector<std::pair<std::string, int>>{{"9", 2}, {"1000", 3}}) {
    const Ended run = work.Train({.config = config,
                                  .out = "cut",
                                  .ranks = ranks,
                                  .arguments = {"--ledger", "--steps", steps, "--set", "epochs=4"}});
    ASSERT_EQ(run.code, 0) << run.output;
  }
  EXPECT_EQ(work.TracesOf("cut").weights_sha256, calm.weights_sha256);
}

// What examples/data/README.md says makes the shipped files.
class MadeTable : public ::testing::Test {
 protected:
  void Make(const std::string& csv) {
    std::ofstream(work_.Path("t.csv")) << csv;
    Run({"records", "make", "--from", "csv", "--input", work_.Path("t.csv"), "--missing", "NA", "--out",
         work_.Path("t"), "--column", "label:category", "--column", "word:string", "--column", "x:float"});
  }
  void Stat() { Run({"records", "stat", Data(), "--out", work_.Path("stats.json")}); }
  std::string Data() const { return work_.Path("t-00000-of-00001.tfrecord"); }
  void Run(std::vector<std::string> words) {
    words.insert(words.begin(), ProgramPath());
    Subprocess process(words);
    EXPECT_EQ(process.Wait(), 0) << process.Output();
  }
  Ended Train(const std::string& columns) {
    const std::string config = work_.WriteConfig(
        "table",
        absl::StrReplaceAll(R"(
model { layers { linear { features: 2 } } }
data { train: "TRAIN" label { feature: "label" classes: 2 } columns { statistics: "STATS" COLUMNS } }
lanes: 2  global_batch: 4  steps: 3
)",
                            {{"TRAIN", Data()}, {"STATS", work_.Path("stats.json")}, {"COLUMNS", columns}}));
    return work_.Train({.config = config, .out = absl::StrCat("run", runs_++), .start = StartWith::kNothing});
  }

  const Workspace work_;
  int runs_ = 0;
};

constexpr char kCsv[] = "label,word,x\na,red,1\nb,blue,2.5\na,red,NA\nb,green,-1\n";

TEST_F(MadeTable, StaleStatisticsAreRefusedWithADiff) {
  Make(kCsv);
  Stat();
  const std::string columns =
      "column { feature: \"x\" numeric { normalize: MIN_MAX missing: 0 } } "
      "column { feature: \"word\" vocabulary {} }";
  EXPECT_EQ(Train(columns).code, 0);
  Make(absl::StrCat(kCsv, "a,white,4\n"));
  const Ended stale = Train(columns);
  EXPECT_EQ(stale.code, 3);
  EXPECT_THAT(stale.output,
              AllOf(HasSubstr("was made of other data"), HasSubstr("- t-00000-of-00001.tfrecord: 4 records"),
                    HasSubstr("+ t-00000-of-00001.tfrecord: 5 records"), HasSubstr("records stat")));
  Stat();
  EXPECT_EQ(Train(columns).code, 0);
}

TEST_F(MadeTable, WhatDoesNotFitIsNamed) {
  Make(kCsv);
  Stat();
  const auto error = [&](const std::string& columns, int code) {
    const Ended run = Train(columns);
    EXPECT_EQ(run.code, code) << run.output;
    return run.output;
  };
  EXPECT_THAT(error("column { feature: \"wrod\" vocabulary {} }", 2),
              HasSubstr("no feature 'wrod'; did you mean 'word'"));
  EXPECT_THAT(error("column { feature: \"word\" numeric { normalize: MEAN_STD } }", 2),
              HasSubstr("it holds strings, not numbers"));
  EXPECT_THAT(error("column { feature: \"x\" vocabulary {} }", 2), HasSubstr("it holds floats"));
  EXPECT_THAT(error("column { feature: \"x\" numeric { log: true normalize: MEAN_STD } }", 2),
              HasSubstr("log(1 + x) cannot be taken of -1"));
  EXPECT_THAT(error("column { feature: \"x\" numeric {} }", 3),
              HasSubstr("record 2: column 'x': feature 'x' is not there; give `missing`"));
  EXPECT_THAT(error("column { feature: \"word\" hashed { rows: 3 } linear {} }", 2),
              HasSubstr("nothing goes into the model"));
}

// ---- Sequences

TEST(SequenceTraining, StepsOfVaryingNumberTrainTheSameInAnyWorld) {
  const Workspace work;
  auto writer = data::RecordWriter::Create(RealFileSystem(), work.Path("s.tfrecord"));
  ASSERT_TRUE(writer.ok());
  for (int i = 0; i < 24; ++i) {
    records::SequenceExample example;
    (*example.mutable_context()->mutable_feature())["label"].mutable_int64_list()->add_value(i % 2);
    auto& words = (*example.mutable_feature_lists()->mutable_feature_list())["words"];
    for (int step = 0; step < i % 6; ++step)
      words.add_feature()->mutable_int64_list()->add_value(1 + (i * 7 + step * (i % 2)) % 9);
    ASSERT_TRUE((*writer)->Write(example.SerializeAsString()).ok());
  }
  ASSERT_TRUE((*writer)->Close().ok());
  const std::string config =
      work.WriteConfig("sequence", absl::StrReplaceAll(R"(
model { layers { embedding { rows: 10 width: 4 } flatten {} linear { features: 2 } } }
data { train: "FILE" label { feature: "label" classes: 2 }
       input { feature: "words" steps: true variable: true shape: 5 type: I32 } }
lanes: 4  global_batch: 8  steps: 20
)",
                                                       {{"FILE", work.Path("s.tfrecord")}}));
  const Traces alone = work.TrainedTraces(config, "alone", 1);
  EXPECT_EQ(work.TrainedTraces(config, "two", 2), alone);
  const Ended shorter = work.Train({.config = config,
                                    .out = "short",
                                    .arguments = {"--set", "data.input.shape=4"},
                                    .start = StartWith::kNothing});
  EXPECT_EQ(shorter.code, 3);
  EXPECT_THAT(shorter.output, HasSubstr("feature 'words' has more than 4 steps; wanted at most 4 (I32[4])"));
}

}  // namespace
}  // namespace lockstep::testing
