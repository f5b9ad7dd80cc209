// The whole program against PyTorch: the values of tests/testing/golden/models.safetensors as records and
// initial weights, some steps of training over ranks, and the losses that metrics.jsonl tells.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "runtime/core/file_system.h"
#include "runtime/train/safetensors.h"
#include "tests/data/record_bytes.h"
#include "tests/integration/training_run.h"
#include "tests/testing/golden_file.h"

namespace lockstep::testing {
namespace {

constexpr double kTolerance = 2e-4;  // relative, as for lane programs alone (tests/nn/golden_models_test)

class GoldenTraining : public ::testing::Test {
 protected:
  void SetUp() override {
    auto file = ReadGoldenFile(LOCKSTEP_SOURCE_DIR, "models");
    ASSERT_TRUE(file.ok()) << file.status();
    file_ = *std::move(file);
  }

  const GoldenCase& Case(const std::string& name) const {
    for (const GoldenCase& golden : file_.cases) {
      if (golden.name == name) return golden;
    }
    ADD_FAILURE() << "no case " << name;
    return file_.cases.front();
  }

  // One record a row of the case's batch.
  std::string WriteRecords(const std::string& name) const {
    const GoldenTensor &x = file_.At(name + "/in/x"), &labels = file_.At(name + "/in/labels");
    const int64_t rows = x.type.shape[0];
    const auto row = [&](const auto& values, int64_t i) {
      const auto width = static_cast<int64_t>(values.size()) / rows;
      return std::vector(values.begin() + i * width, values.begin() + (i + 1) * width);
    };
    std::vector<std::string> payloads;
    for (int64_t i = 0; i < rows; ++i) {
      data::ExampleMaker record;
      record.Floats("x", row(x.Values(), i));
      if (labels.type.dtype == DType::kF32) {
        record.Floats("y", row(labels.Values(), i));
      } else {
        record.Ints("y", row(labels.Integers(), i));
      }
      payloads.push_back(record.Serialize());
    }
    const std::string path = work_.Path(name + ".tfrecord");
    std::ofstream(path, std::ios::binary) << data::FileOf(payloads);
    return path;
  }

  // The case's initial weights and running statistics under their own names.
  std::string WriteWeights(const std::string& name) const {
    std::vector<train::NamedTensor> tensors;
    for (const char* kind : {"/weight/", "/state/"}) {
      const std::string prefix = name + kind;
      for (auto it = file_.tensors.lower_bound(prefix);
           it != file_.tensors.end() && it->first.rfind(prefix, 0) == 0; ++it) {
        tensors.push_back({it->first.substr(prefix.size()), it->second.type.dtype, it->second.type.shape,
                           it->second.bytes.data()});
      }
    }
    const std::string path = work_.Path(name + ".safetensors");
    auto out = RealFileSystem()->Create(path);
    EXPECT_TRUE(out.ok()) << out.status();
    EXPECT_TRUE(train::WriteSafetensors(out->get(), tensors, {}).ok());
    EXPECT_TRUE((*out)->Close().ok());
    return path;
  }

  std::string ConfigText(const GoldenCase& golden, int lanes, bool adamw, size_t steps) const {
    const auto& a = golden.attributes;
    const GoldenTensor &x = file_.At(golden.name + "/in/x"), &y = file_.At(golden.name + "/in/labels");
    const auto sample_shape = [](const GoldenTensor& tensor) {
      std::vector<int64_t> dims;
      for (int axis = 1; axis < tensor.type.shape.rank(); ++axis) dims.push_back(tensor.type.shape[axis]);
      return absl::StrJoin(dims, ", ");
    };
    const bool regression = a.at("loss") == "mean_squared_error";
    const auto& o = a.at(adamw ? "adamw" : "sgd");
    const auto number = [&](const char* field) { return o.at(field).get<double>(); };
    const std::string optimizer =
        adamw ? absl::StrCat("adamw { lr: ", number("lr"), " beta1: ", o.at("betas")[0].get<double>(),
                             " beta2: ", o.at("betas")[1].get<double>(), " epsilon: ", number("eps"),
                             " weight_decay: ", number("weight_decay"), " }")
              : absl::StrCat("sgd { lr: ", number("lr"), " momentum: ", number("momentum"),
                             " weight_decay: ", number("weight_decay"), " }");
    return absl::StrCat("model { ", a.at("model").get<std::string>(), " }\n", "loss { ",
                        regression ? "mean_squared_error" : "cross_entropy", " {} }\n", "data { train: \"",
                        WriteRecords(golden.name), "\" input { feature: \"x\" shape: [", sample_shape(x),
                        "] } label { feature: \"y\" ",
                        regression ? absl::StrCat("shape: [", sample_shape(y), "]")
                                   : absl::StrCat("classes: ", a.at("classes").get<int>()),
                        " } }\noptimizer { ", optimizer, " }\nlanes: ", lanes,
                        " global_batch: ", x.type.shape[0], " steps: ", steps, "\ninit_from: \"",
                        WriteWeights(golden.name), "\"\nexecution { threads: 1 }\n");
  }

  void ExpectTrainsAsInPyTorch(const std::string& name, int lanes, int ranks) {
    const GoldenCase& golden = Case(name);
    for (const bool adamw : {false, true}) {
      const std::vector<float> losses =
          file_.At(name + (adamw ? "/out/losses_adamw" : "/out/losses_sgd")).Values();
      const std::string out = absl::StrCat(name, adamw ? "-adamw" : "-sgd");
      const std::string config = work_.WriteConfig(out, ConfigText(golden, lanes, adamw, losses.size()));
      const Ended run = work_.Train({.config = config,
                                     .out = out,
                                     .ranks = ranks,
                                     .start = ranks > 1 ? StartWith::kMpirun : StartWith::kNothing});
      ASSERT_EQ(run.code, 0) << run.output;
      const Traces traces = work_.TracesOf(out);
      ASSERT_EQ(traces.metrics.size(), losses.size());
      for (size_t step = 0; step < losses.size(); ++step) {
        const double loss = nlohmann::json::parse(traces.metrics[step]).at("loss").get<double>();
        EXPECT_NEAR(loss, losses[step], kTolerance * losses[step]) << out << ", step " << step + 1;
      }
    }
  }

  const Workspace work_;
  GoldenFile file_;
};

TEST_F(GoldenTraining, Mlp) { ExpectTrainsAsInPyTorch("mlp", /*lanes=*/7, /*ranks=*/3); }
TEST_F(GoldenTraining, Regression) { ExpectTrainsAsInPyTorch("mlp_regression", /*lanes=*/5, /*ranks=*/2); }
// Batch norm normalises per lane, so it is PyTorch's with one lane.
TEST_F(GoldenTraining, Resnet18) { ExpectTrainsAsInPyTorch("resnet18", /*lanes=*/1, /*ranks=*/1); }
TEST_F(GoldenTraining, LayerList) { ExpectTrainsAsInPyTorch("layers_cnn", /*lanes=*/1, /*ranks=*/1); }

}  // namespace
}  // namespace lockstep::testing
