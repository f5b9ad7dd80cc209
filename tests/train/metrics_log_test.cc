#include "runtime/train/metrics_log.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>

#include "runtime/train/json_line.h"
#include "runtime/train/ledger.h"
#include "runtime/train/result.h"
#include "tests/testing/memory_file_system.h"

namespace lockstep::train {
namespace {

StepMetrics Sample() {
  StepMetrics metrics;
  metrics.step = 100;
  metrics.epoch = 4.452;
  metrics.loss = 0.1f;  // a float's value must come back as that float's
  metrics.lr = 1e-3;
  metrics.grad_norm = 12;
  metrics.samples_per_second = 1e21;
  metrics.world_size = 2;
  return metrics;
}

TEST(StepLine, HasTheFieldsInTheirOrder) {
  EXPECT_EQ(StepLine(Sample()),
            R"({"step": 100, "epoch": 4.452, "loss": 0.10000000149011612, "lr": 0.001, "grad_norm": 12, )"
            R"("samples_per_second": 1e+21, "step_seconds": 0, "comm_seconds": 0, "data_wait_seconds": 0, )"
            R"("world_size": 2, "generation": 0})");
}

TEST(StepLine, SaysWhereTheGuardActed) {
  StepMetrics metrics = Sample();
  metrics.skipped = "grad_norm_z";
  EXPECT_EQ(nlohmann::json::parse(StepLine(metrics))["skipped"], "grad_norm_z");
  EXPECT_FALSE(nlohmann::json::parse(StepLine(metrics)).contains("warned"));
  metrics.skipped = "";
  metrics.warned = "loss_z";
  EXPECT_EQ(nlohmann::json::parse(StepLine(metrics))["warned"], "loss_z");
  EXPECT_FALSE(nlohmann::json::parse(StepLine(metrics)).contains("skipped"));
}

TEST(StepLine, WhatIsNotFiniteIsStillJson) {
  StepMetrics metrics = Sample();
  metrics.loss = std::nan("");
  metrics.grad_norm = std::numeric_limits<double>::infinity();
  const auto json = nlohmann::json::parse(StepLine(metrics));
  EXPECT_TRUE(json["loss"].is_null());
  EXPECT_EQ(json["loss_text"], "nan");
  EXPECT_EQ(json["grad_norm_text"], "inf");
  EXPECT_EQ(nlohmann::json::parse(JsonLine().Number("x", -1.0 / 0.0).Text())["x_text"], "-inf");
}

TEST(EvalLine, HasItsOwnObject) {
  EXPECT_EQ(EvalLine({7, {{"loss", 0.5}, {"accuracy", 0.975}}}),
            R"({"step": 7, "eval": {"loss": 0.5, "accuracy": 0.975}})");
}

TEST(JsonNumber, ReadsBackTheSameForAnyDouble) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 20000; ++i) {
    const uint64_t bits = random();
    double value;
    static_assert(sizeof value == sizeof bits);
    std::memcpy(&value, &bits, sizeof value);
    if (!std::isfinite(value)) continue;
    EXPECT_EQ(nlohmann::json::parse(JsonNumber(value)).get<double>(), value);
  }
  for (const double value : {0.0, -0.0, 5e-324, 1.7976931348623157e308, 0.1}) {
    const double read = nlohmann::json::parse(JsonNumber(value)).get<double>();
    EXPECT_EQ(std::memcmp(&read, &value, sizeof value), 0) << JsonNumber(value);
  }
}

TEST(JsonString, EscapesWhatMustBe) {
  EXPECT_EQ(JsonString("a\"b\\\n\x01"), R"("a\"b\\\n\u0001")");
  EXPECT_EQ(nlohmann::json::parse(JsonString("torn \xe2\x82")).get<std::string>(), "torn \xef\xbf\xbd");
}

TEST(MetricsLog, OneLineAStep) {
  testing::MemoryFileSystem fs;
  const auto logger = MakeNullLogger();
  auto log = OpenMetricsLog(&fs, "metrics.jsonl", logger.get()).value();
  log->OnStep(Sample(), {});
  log->OnEval({100, {{"loss", 1}}});
  EXPECT_TRUE(log->Sync().ok());
  EXPECT_EQ(ReadWholeFile(&fs, "metrics.jsonl").value(),
            StepLine(Sample()) + "\n{\"step\": 100, \"eval\": {\"loss\": 1}}\n");
}

TEST(Ledger, NamesTheRecordsInOrder) {
  testing::MemoryFileSystem fs;
  const auto logger = MakeNullLogger();
  auto ledger = OpenLedger(&fs, "ledger.jsonl", logger.get()).value();
  const int64_t ids[] = {5, 17, 2};
  ledger->OnStep(Sample(), ids);
  ledger->OnEval({100, {}});
  EXPECT_EQ(ReadWholeFile(&fs, "ledger.jsonl").value(), "{\"step\": 100, \"ids\": [5, 17, 2]}\n");
}

TEST(Result, IsReadableAndComplete) {
  testing::MemoryFileSystem fs;
  RunResult result;
  result.status = "done";
  result.steps = 600;
  result.loss = std::nan("");
  result.eval = {{"accuracy", 0.98}};
  result.weights_sha256 = "ab";
  ASSERT_TRUE(WriteResult(&fs, "result.json", result).ok());
  const auto json = nlohmann::ordered_json::parse(ReadWholeFile(&fs, "result.json").value());
  std::string names;
  for (const auto& [name, value] : json.items()) names += name + " ";
  EXPECT_EQ(names,
            "status steps loss loss_text eval weights_sha256 state_sha256 samples samples_per_second seconds "
            "world_size "
            "skipped_steps generations exit_code ");
  EXPECT_EQ(json["eval"]["accuracy"], 0.98);
}

}  // namespace
}  // namespace lockstep::train
