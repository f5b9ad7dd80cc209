// Whole models from PyTorch's weights: loss, gradients of every parameter, running statistics, and the losses
// of a few steps of SGD and AdamW. A case carries its model as text of the configuration, so a new one needs
// no code here.
#include <cmath>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "proto/run_config.pb.h"
#include "runtime/nn/build_model.h"
#include "runtime/nn/models/builtin.h"
#include "tests/nn/lane_run.h"
#include "tests/testing/golden_file.h"

namespace lockstep::testing {
namespace {

// Of an element's own size plus its tensor's root mean square; and never less than this part of the root mean
// square of all gradients, because some tensors' true gradient is zero (a bias before a batch norm).
constexpr double kTolerance = 2e-5, kSmallest = 0.02;
constexpr double kLossTolerance = 2e-4;  // after some steps of training, relative

struct Model {
  Model(const GoldenFile& golden_file, const GoldenCase& golden_case)
      : file(golden_file), spec(golden_case) {}

  const GoldenTensor& At(const std::string& what) const { return file.At(spec.name + "/" + what); }

  // Every tensor of a kind ("weight", "grad", "state"), by its parameter's name.
  NamedValues All(const std::string& kind) const {
    NamedValues values;
    const std::string prefix = spec.name + "/" + kind + "/";
    for (auto it = file.tensors.lower_bound(prefix);
         it != file.tensors.end() && it->first.rfind(prefix, 0) == 0; ++it) {
      values[it->first.substr(prefix.size())] = it->second.Values();
    }
    return values;
  }

  nn::DataSpec Data() const {
    nn::DataSpec data{.input = {"input", Sample(At("in/x").type)},
                      .label = {"label", Sample(At("in/labels").type)}};
    data.classes = spec.attributes.at("classes").get<int64_t>();
    return data;
  }

  absl::StatusOr<graph::Graph> Build() const {
    ModelConfig model;
    if (!google::protobuf::TextFormat::ParseFromString(spec.attributes.at("model").get<std::string>(),
                                                       &model)) {
      return absl::InvalidArgumentError("the case's model does not parse");
    }
    LossConfig loss;
    if (spec.attributes.at("loss") == "mean_squared_error") {
      loss.mutable_mean_squared_error();
    } else {
      loss.mutable_cross_entropy();
    }
    return nn::BuildModel(model, loss, Data(), At("in/x").type.shape[0], nn::BuiltinModels());
  }

  LaneRunInputs Inputs() const {
    LaneRunInputs in;
    in.parameters = All("weight");
    in.states = All("state");
    in.inputs["input"] = At("in/x");
    in.inputs["label"] = At("in/labels");
    return in;
  }

  static TensorType Sample(const TensorType& type) {
    TensorType sample{type.dtype, {}};
    for (int axis = 1; axis < type.shape.rank(); ++axis) sample.shape.Append(type.shape[axis]);
    return sample;
  }

  const GoldenFile& file;
  const GoldenCase& spec;
};

const GoldenFile& File() {
  static const auto* file = new absl::StatusOr<GoldenFile>(ReadGoldenFile(LOCKSTEP_SOURCE_DIR, "models"));
  static const auto* empty = new GoldenFile;
  return file->ok() ? **file : *empty;
}

TEST(GoldenModels, FileIsWhole) { EXPECT_GE(File().cases.size(), 7u); }

class GoldenModel : public ::testing::TestWithParam<GoldenCase> {};

double RootMeanSquare(const NamedValues& values) {
  double squares = 0, count = 0;
  for (const auto& [name, tensor] : values) {
    for (const float v : tensor) squares += static_cast<double>(v) * v, count += 1;
  }
  return std::sqrt(squares / count);
}

TEST_P(GoldenModel, LossAndGradientsAreThoseOfPyTorch) {
  const Model model(File(), GetParam());
  const auto graph = model.Build();
  ASSERT_TRUE(graph.ok()) << graph.status();
  for (const bool fuse : {true, false}) {
    SCOPED_TRACE(fuse ? "fused" : "not fused");
    auto run = LaneRun::Make(*graph, graph::Mode::kTrain, fuse);
    ASSERT_TRUE(run.ok()) << run.status();
    const LaneRunInputs in = model.Inputs();
    const auto out = run->Run(in);
    ASSERT_TRUE(out.ok()) << out.status();
    const double loss = model.At("out/loss").Values()[0];
    EXPECT_NEAR(out->loss.sum, loss, 3e-6 * loss);
    EXPECT_EQ(out->loss.weight, model.spec.attributes.at("rows").get<double>());
    const NamedValues want = model.All("grad");
    EXPECT_EQ(out->gradients.size(), want.size());
    const double floor = kSmallest * RootMeanSquare(want);
    for (const auto& [name, gradient] : want) {
      ASSERT_TRUE(out->gradients.count(name)) << name;
      EXPECT_EQ(Differs(out->gradients.at(name), gradient, kTolerance, floor), "") << "gradient of " << name;
    }
    for (const auto& [name, after] : model.All("state_after")) {
      std::vector<float> got = in.states.at(name);
      for (size_t i = 0; i < got.size(); ++i) got[i] += out->state_deltas.at(name)[i];
      EXPECT_EQ(Differs(got, after, kTolerance), "") << name;
    }
  }
}

// torch.optim.SGD with momentum and coupled weight decay.
struct Sgd {
  explicit Sgd(const nlohmann::json& a)
      : lr(a.at("lr")), momentum(a.at("momentum")), decay(a.at("weight_decay")) {}
  void Update(const std::string& name, std::vector<float>& p, const std::vector<float>& g, double scale) {
    std::vector<double>& v = velocity[name];
    v.resize(p.size(), 0);
    for (size_t i = 0; i < p.size(); ++i) {
      v[i] = momentum * v[i] + g[i] * scale + decay * p[i];
      p[i] = static_cast<float>(p[i] - lr * v[i]);
    }
  }
  double lr, momentum, decay;
  std::map<std::string, std::vector<double>> velocity;
};

// torch.optim.AdamW.
struct AdamW {
  explicit AdamW(const nlohmann::json& a)
      : lr(a.at("lr")),
        beta1(a.at("betas")[0]),
        beta2(a.at("betas")[1]),
        epsilon(a.at("eps")),
        decay(a.at("weight_decay")) {}
  void Update(const std::string& name, std::vector<float>& p, const std::vector<float>& g, double scale) {
    std::vector<double>&m = first[name], &v = second[name];
    m.resize(p.size(), 0), v.resize(p.size(), 0);
    const double t = ++step[name];
    for (size_t i = 0; i < p.size(); ++i) {
      const double gradient = g[i] * scale;
      m[i] = beta1 * m[i] + (1 - beta1) * gradient;
      v[i] = beta2 * v[i] + (1 - beta2) * gradient * gradient;
      const double change =
          m[i] / (1 - std::pow(beta1, t)) / (std::sqrt(v[i] / (1 - std::pow(beta2, t))) + epsilon);
      p[i] = static_cast<float>(p[i] * (1 - lr * decay) - lr * change);
    }
  }
  double lr, beta1, beta2, epsilon, decay;
  std::map<std::string, std::vector<double>> first, second;
  std::map<std::string, double> step;
};

template <typename Optimizer>
void Train(const Model& model, LaneRun& run, Optimizer optimizer, const std::vector<float>& losses) {
  LaneRunInputs in = model.Inputs();
  for (size_t step = 0; step < losses.size(); ++step) {
    const auto out = run.Run(in);
    ASSERT_TRUE(out.ok()) << out.status();
    EXPECT_NEAR(out->loss.sum / out->loss.weight, losses[step], kLossTolerance * losses[step])
        << "step " << step;
    for (auto& [name, values] : in.parameters) {
      optimizer.Update(name, values, out->gradients.at(name), 1 / out->loss.weight);
    }
  }
}

TEST_P(GoldenModel, TrainsAsInPyTorch) {
  const Model model(File(), GetParam());
  const auto graph = model.Build();
  ASSERT_TRUE(graph.ok()) << graph.status();
  auto run = LaneRun::Make(*graph, graph::Mode::kTrain);
  ASSERT_TRUE(run.ok()) << run.status();
  Train(model, *run, Sgd(model.spec.attributes.at("sgd")), model.At("out/losses_sgd").Values());
  // AdamW's first steps are lr * sign(gradient): where the true gradient is zero the sign is noise, and with
  // it the step. Such parameters (biases before a batch norm, of keys) do not change the loss.
  Train(model, *run, AdamW(model.spec.attributes.at("adamw")), model.At("out/losses_adamw").Values());
}

INSTANTIATE_TEST_SUITE_P(All, GoldenModel, ::testing::ValuesIn(File().cases),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace lockstep::testing
