// Every order of the data, through the real program: the same records at every step and the same bits in any
// world and after any resume, each record exactly once an epoch.
#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/training_run.h"
#include "tests/launcher/subprocess.h"

namespace lockstep::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kConfig[] = R"(
model { name: "mlp" mlp { hidden: [16] } }
data {
  train: "DATA/digits-train*.tfrecord" eval: "DATA/digits-test*.tfrecord"
  input { feature: "image" shape: [8, 8, 1] scale: 0.0625 }
  label { feature: "label" classes: 10 } ORDER }
optimizer { sgd { lr: 0.1 } }
lanes: 4 global_batch: 96 epochs: 2 seed: 1
eval { every_epochs: 1 last_batch: DROP }
execution { threads: 1 checkpoint { every_steps: 5 } }
)";
constexpr int64_t kRecords = 1437;  // of training

std::string WithOrder(const Workspace& work, const std::string& name, const std::string& order) {
  std::string text = kConfig;
  text.replace(text.find("ORDER"), 5, order);
  return work.WriteConfig(name, text);
}

// The ids of the first `positions` positions.
std::vector<int64_t> IdsOf(const Traces& traces, size_t positions) {
  std::vector<int64_t> ids;
  for (const absl::string_view line : absl::StrSplit(traces.ledger, '\n', absl::SkipEmpty())) {
    const size_t begin = line.find('[') + 1;
    for (const absl::string_view id : absl::StrSplit(line.substr(begin, line.find(']') - begin), ", "))
      if (ids.size() < positions) ids.push_back(std::stoll(std::string(id)));
  }
  return ids;
}

bool IsEachOnce(std::vector<int64_t> ids, size_t size) {
  std::sort(ids.begin(), ids.end());
  return ids.size() == size && std::unique(ids.begin(), ids.end()) == ids.end() && ids.front() >= 0 &&
         ids.back() < kRecords;
}

struct Case {
  std::string name, order;
  size_t steps, epoch;  // steps of two epochs; records of one
};

class OrderTraining : public ::testing::TestWithParam<Case> {};

TEST_P(OrderTraining, TheSameInAnyWorldAndAfterAnyResume) {
  const Case& c = GetParam();
  const Workspace work;
  const std::string config = WithOrder(work, c.name, c.order);
  const Traces alone = work.TrainedTraces(config, "alone", 1);
  EXPECT_THAT(work.ResultField("alone", "steps"), absl::StrCat(c.steps));
  EXPECT_TRUE(IsEachOnce(IdsOf(alone, c.epoch), c.epoch));
  EXPECT_EQ(work.TrainedTraces(config, "three", 3), alone);
  const std::vector<std::pair<int, int>> parts = {{2, 7}, {4, 16}, {3, 1000}};  // ranks, up to which step
  for (const auto& [ranks, steps] : parts) {
    const Ended run = work.Train({.config = config,
                                  .out = "cut",
                                  .ranks = ranks,
                                  .arguments = {"--ledger", "--steps", absl::StrCat(steps)},
                                  .start = StartWith::kLaunch});
    ASSERT_EQ(run.code, 0) << run.output;
  }
  EXPECT_EQ(work.TracesOf("cut").weights_sha256, alone.weights_sha256);
  EXPECT_EQ(work.TracesOf("cut").ledger, alone.ledger);
}

// 1437 = 14 x 96 + 93.
INSTANTIATE_TEST_SUITE_P(
    Orders, OrderTraining,
    ::testing::Values(
        Case{"blocks", "order: BLOCK_SHUFFLE block_shuffle { records: 50 window: 4 }", 30, kRecords},
        Case{"lanes", "order: BLOCK_SHUFFLE block_shuffle { records: 20 window: 3 reading_lanes: 2 }", 30,
             kRecords},
        Case{"sequential", "order: SEQUENTIAL", 30, kRecords}, Case{"drop", "last_batch: DROP", 28, 1344},
        Case{"pad", "last_batch: PAD", 30, kRecords},
        Case{"pad_lanes",
             "order: BLOCK_SHUFFLE last_batch: PAD block_shuffle { records: 20 window: 3 reading_lanes: 4 }",
             30, kRecords}),
    [](const auto& info) { return info.param.name; });

TEST(MixtureTraining, TheSameInAnyWorldAndInExactProportions) {
  const Workspace work;
  std::string text = kConfig;
  text.replace(text.find("train: \"DATA/digits-train*.tfrecord\""), 36,
               "mixture { train: \"DATA/digits-train-00000*\" weight: 3 } mixture { train: "
               "\"DATA/digits-train-00001*\" }");
  text.replace(text.find("ORDER"), 5, "");
  const std::string config = work.WriteConfig("mixture", text);
  const Traces alone = work.TrainedTraces(config, "alone", 1);
  EXPECT_EQ(work.TrainedTraces(config, "two", 2), alone);
  EXPECT_EQ(work.TrainedTraces(config, "four", 4), alone);
  const std::vector<int64_t> ids = IdsOf(alone, 96 * 30);
  const int64_t second = 719;  // the first file holds so many
  EXPECT_EQ(std::count_if(ids.begin(), ids.end(), [&](int64_t id) { return id >= second; }), 96 * 30 / 4);
  EXPECT_EQ(*std::max_element(ids.begin(), ids.end()), kRecords - 1);
}

TEST(FilteredTraining, UsesTheRecordsThatAreTaken) {
  const Workspace work;
  const std::string config = WithOrder(
      work, "filtered",
      "filter { feature: \"label\" value: \"1\" value: \"2\" } filter { feature: \"label\" max: 2 }");
  const Traces alone = work.TrainedTraces(config, "alone", 1, {"epochs=1"});
  const std::vector<int64_t> ids = IdsOf(alone, 10000);
  const int64_t taken = *std::max_element(ids.begin(), ids.end()) + 1;
  EXPECT_GT(taken, kRecords / 7);
  EXPECT_LT(taken, kRecords / 4);
  EXPECT_TRUE(IsEachOnce(IdsOf(alone, static_cast<size_t>(taken)), static_cast<size_t>(taken)));
  EXPECT_EQ(work.TrainedTraces(config, "three", 3, {"epochs=1"}), alone);
  // What never matches is an error that says so.
  const Ended none = work.Train({.config = config,
                                 .out = "none",
                                 .ranks = 1,
                                 .arguments = {"--set", "data.filter=[{feature: 'label' min: 10}]"},
                                 .start = StartWith::kNothing});
  EXPECT_EQ(none.code, 3) << none.output;
  EXPECT_THAT(none.output, HasSubstr("none of the 1437 records is taken by the filter"));
}

// Lines of a book as documents, packed into windows.
TEST(PackedTraining, TheSameInAnyWorldAndAfterAnyResume) {
  const Workspace work;
  std::string book;
  for (int line = 0; line < 400; ++line) {
    for (int word = 0; word <= line % 13; ++word)
      absl::StrAppend(&book, word > 0 ? " " : "", "w", (line * 7 + word * word) % 50);
    book += "\n";
  }
  std::ofstream(work.Path("book.txt")) << book;
  Subprocess made({ProgramPath(), "records", "make", "--from", "text", "--input", work.Path("book.txt"),
                   "--chunk-bytes", "30", "--test-bytes", "1500", "--tokenizer", "bpe", "--vocabulary", "320",
                   "--tokens", "--out", work.Path("book")});
  ASSERT_EQ(made.Wait(), 0) << made.Output();
  const std::string config = work.WriteConfig("packed", absl::StrReplaceAll(R"(
model { name: "gpt" gpt { layers: 1 width: 16 heads: 2 } }
data { train: "BOOK-train*.tfrecord" eval: "BOOK-test*.tfrecord"
       text { tokenizer: "BOOK-tokenizer.json" tokens: true length: 24 packed: true } }
optimizer { adamw { lr: 1e-2 } }
lanes: 4 global_batch: 8 steps: 40 seed: 1
eval { every_steps: 20 metric: "bits_per_byte" }
execution { threads: 1 checkpoint { every_steps: 10 } }
)",
                                                                            {{"BOOK", work.Path("book")}}));
  const Traces alone = work.TrainedTraces(config, "alone", 1);
  EXPECT_THAT(work.ResultField("alone", "eval"), AllOf(HasSubstr("bits_per_byte"), HasSubstr("accuracy")));
  EXPECT_EQ(work.TrainedTraces(config, "three", 3), alone);
  for (const auto& [ranks, steps] : std::vector<std::pair<int, int>>{{2, 13}, {4, 40}}) {
    const Ended run = work.Train({.config = config,
                                  .out = "cut",
                                  .ranks = ranks,
                                  .arguments = {"--ledger", "--steps", absl::StrCat(steps)},
                                  .start = StartWith::kLaunch});
    ASSERT_EQ(run.code, 0) << run.output;
  }
  EXPECT_EQ(work.TracesOf("cut").weights_sha256, alone.weights_sha256);
  const Traces joined = work.TrainedTraces(config, "joined", 1, {"data.text.packed=false"});
  EXPECT_NE(joined.weights_sha256, alone.weights_sha256);
}

TEST(ChangedData, IsRefusedWithADiff) {
  const Workspace work;
  const std::string folder = work.Path("data");
  fs::create_directory(folder);
  for (const auto& entry : fs::directory_iterator(LOCKSTEP_SOURCE_DIR "/examples/data")) {
    const std::string name = entry.path().filename().string();
    if (absl::StartsWith(name, "digits")) fs::copy(entry.path(), folder + "/" + name);
  }
  std::string text = WithOrder(work, "original", "");
  const auto train = [&](const std::string& steps) {
    return work.Train({.config = work.Path("moved.textproto"),
                       .out = "run",
                       .ranks = 1,
                       .arguments = {"--steps", steps},
                       .start = StartWith::kNothing});
  };
  std::stringstream original;
  original << std::ifstream(text).rdbuf();
  std::ofstream(work.Path("moved.textproto"))
      << absl::StrReplaceAll(original.str(), {{LOCKSTEP_SOURCE_DIR "/examples/data", folder}});
  ASSERT_EQ(train("3").code, 0);
  const std::string first = folder + "/digits-train-00000-of-00002.tfrecord";
  const std::string other = folder + "/digits-train-00001-of-00002.tfrecord";
  const auto size = fs::file_size(first);
  {
    std::ifstream in(other, std::ios::binary);
    std::string record(static_cast<size_t>(fs::file_size(other)), '\0');
    in.read(record.data(), static_cast<std::streamsize>(record.size()));
    uint64_t length = 0;
    std::memcpy(&length, record.data(), 8);
    record.resize(length + 16);
    std::ofstream(first, std::ios::binary | std::ios::app) << record;  // one record more
    fs::remove(first + ".lsidx");
  }
  const Ended refused = train("5");
  EXPECT_EQ(refused.code, 5) << refused.output;
  EXPECT_THAT(refused.output,
              AllOf(HasSubstr("the training data: "),
                    HasSubstr(absl::StrCat("digits-train-00000-of-00002.tfrecord: ", size, " bytes -> ",
                                           fs::file_size(first), ", 719 records -> 720"))));
  fs::rename(other, folder + "/digits-train-00009.tfrecord");
  const Ended renamed = train("5");
  EXPECT_THAT(renamed.output, AllOf(HasSubstr("digits-train-00009.tfrecord: new"),
                                    HasSubstr("digits-train-00001-of-00002.tfrecord: gone")));
}

}  // namespace
}  // namespace lockstep::testing
