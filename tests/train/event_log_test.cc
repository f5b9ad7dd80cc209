#include "runtime/train/event_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/testing/faulty_file_system.h"
#include "tests/testing/memory_file_system.h"

namespace lockstep::train {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

StepMetrics Step(int64_t step) {
  StepMetrics metrics;
  metrics.step = step;
  metrics.step_seconds = 0.5;
  return metrics;
}

TEST(EventLog, WritesOneFileThatHoldsTheTags) {
  testing::MemoryFileSystem fs;
  const auto logger = MakeNullLogger();
  auto log = OpenEventLog(&fs, "run/events", 10, logger.get()).value();
  log->OnStep(Step(11), {});
  log->OnEval({11, {{"accuracy", 0.5}}});
  log->OnEnd();
  const auto files = fs.List("run/events").value();
  ASSERT_THAT(files, SizeIs(1));
  EXPECT_THAT(files[0].name, HasSubstr("tfevents"));
  const std::string bytes = ReadWholeFile(&fs, JoinPath("run/events", files[0].name)).value();
  EXPECT_THAT(bytes, HasSubstr("train/loss"));
  EXPECT_THAT(bytes, HasSubstr("eval/accuracy"));
}

TEST(EventLog, AFullDiskEndsTheEventsAndNothingElse) {
  class Counting final : public Logger {
   public:
    void Log(LogLevel, absl::string_view) override { ++lines; }
    int lines = 0;
  } logger;
  testing::MemoryFileSystem memory;
  testing::FaultyFileSystem fs(&memory);
  auto log = OpenEventLog(&fs, "run/events", 0, &logger).value();
  fs.FailAt(1, absl::ResourceExhaustedError("no space"), testing::FaultyFileSystem::Kind::kFromThenOn);
  for (int64_t step = 1; step <= 5; ++step) log->OnStep(Step(step), {});
  EXPECT_TRUE(log->Sync().ok()) << "checkpoints do not wait for events";
  EXPECT_EQ(logger.lines, 1);
}

}  // namespace
}  // namespace lockstep::train
