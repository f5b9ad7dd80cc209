// Every operator, forward and backward, through builder, autodiff, fusion and kernels, against PyTorch's
// values.
//
// An operand that depends on the sample must be batched, yet its gradient is wanted, and only parameters have
// one. So such an operand is row `row` of a parameter table, where the input `row` counts the samples: the
// gradient of the table is the gradient of the operand, exactly. The loss is sum(y * dout) with dout another
// such table, whose gradient is y itself: one training step gives the values and all gradients. A case whose
// op is not in the table below fails.
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/graph/builder.h"
#include "tests/nn/lane_run.h"
#include "tests/testing/golden_file.h"

namespace lockstep::testing {
namespace {

using graph::Builder;
using graph::Tensor;

// Of an element's own size plus its tensor's root mean square.
constexpr double kTolerance = 5e-6;

struct OpCase {
  OpCase(const GoldenFile& golden_file, const GoldenCase& golden_case, int64_t batch)
      : file(golden_file), spec(golden_case), b(batch), row(b.Input("row", DType::kI64, {})) {
    GoldenTensor rows{{DType::kI64, {batch}}, std::vector<std::byte>(batch * sizeof(int64_t))};
    for (int64_t i = 0; i < batch; ++i) reinterpret_cast<int64_t*>(rows.bytes.data())[i] = i;
    run.inputs["row"] = rows;
  }

  const GoldenTensor& At(const std::string& what) const { return file.At(spec.name + "/" + what); }
  bool Has(const std::string& input) const { return file.tensors.count(spec.name + "/in/" + input) > 0; }

  // An operand with one value a sample: "in/x", "dout/y".
  Tensor Batched(const std::string& what) {
    const GoldenTensor& tensor = At(what);
    const Shape& shape = tensor.type.shape;
    Shape sample;
    for (int axis = 1; axis < shape.rank(); ++axis) sample.Append(shape[axis]);
    const Tensor table = b.Parameter(what, {shape[0], sample.NumElements()}, graph::Initializer::Zeros());
    run.parameters[what] = tensor.Values();
    return b.Reshape(b.Embedding(row, table), sample);
  }
  Tensor In(const std::string& input) { return Batched("in/" + input); }

  // A parameter; an invalid tensor when the case has none of this name.
  Tensor Weight(const std::string& input) {
    if (!Has(input)) return {};
    const GoldenTensor& tensor = At("in/" + input);
    run.parameters["in/" + input] = tensor.Values();
    return b.Parameter("in/" + input, tensor.type.shape, graph::Initializer::Zeros());
  }

  // An input without a gradient; invalid when the case has none of this name.
  Tensor Plain(const std::string& input) {
    if (!Has(input)) return {};
    const GoldenTensor& tensor = At("in/" + input);
    run.inputs[input] = tensor;
    Shape sample;
    for (int axis = 1; axis < tensor.type.shape.rank(); ++axis) sample.Append(tensor.type.shape[axis]);
    return b.Input(input, tensor.type.dtype, sample);
  }

  Tensor State(const std::string& input) {
    const GoldenTensor& tensor = At("in/" + input);
    run.states[input] = tensor.Values();
    return b.State(input, tensor.type.shape, 0);
  }

  template <typename T>
  T Get(const char* attribute) const {
    return spec.attributes.at(attribute).get<T>();
  }
  int Axis() const { return Get<int>("axis") - 1; }  // Lockstep's axes do not count the micro-batch

  const GoldenFile& file;
  const GoldenCase& spec;
  Builder b;
  Tensor row;
  LaneRunInputs run;
};

Tensor Activate(Builder& b, const std::string& name, Tensor x) {
  if (name == "relu") return b.Relu(x);
  if (name == "gelu") return b.Gelu(x, graph::GeluKind::kErf);
  if (name == "gelu_tanh") return b.Gelu(x, graph::GeluKind::kTanh);
  if (name == "tanh") return b.Tanh(x);
  if (name == "sigmoid") return b.Sigmoid(x);
  return b.Silu(x);
}

Tensor Conv2d(OpCase& c) {
  graph::Conv2dOptions options = graph::Conv2dOptions::Square(c.Get<int>("stride"), c.Get<int>("padding"));
  options.dilation_h = options.dilation_w = c.Get<int>("dilation");
  options.groups = c.Get<int>("groups");
  return c.b.Conv2d(c.In("x"), c.Weight("w"), c.Weight("b"), options);
}

graph::Pool2dOptions Pool(const OpCase& c) {
  return graph::Pool2dOptions::Square(c.Get<int>("size"), c.Get<int>("stride"), c.Get<int>("padding"));
}

Tensor BatchNorm(OpCase& c) {
  Tensor y = c.b.BatchNorm(c.In("x"), c.Weight("gamma"), c.Weight("beta"), c.State("running_mean"),
                           c.State("running_var"),
                           {.epsilon = c.Get<float>("epsilon"), .momentum = c.Get<float>("momentum")});
  if (c.Get<bool>("residual")) y = c.b.Add(y, c.In("residual"));
  return c.Get<bool>("relu") ? c.b.Relu(y) : y;
}

Tensor LayerNorm(OpCase& c, Tensor x) {
  return c.b.LayerNorm(x, c.Weight("gamma"), c.Weight("beta"), c.Get<float>("epsilon"));
}

graph::AttentionOptions Attention(const OpCase& c) {
  return {
      .heads = c.Get<int>("heads"), .key_heads = c.Get<int>("key_heads"), .causal = c.Get<bool>("causal")};
}

using OpFunction = std::function<Tensor(OpCase&)>;

OpFunction Binary(Tensor (Builder::*op)(Tensor, Tensor)) {
  return [op](OpCase& c) {  // b has no batch where its shape is a suffix of a's
    const bool whole = c.At("in/b").type.shape == c.At("in/a").type.shape;
    return (c.b.*op)(c.In("a"), whole ? c.In("b") : c.Weight("b"));
  };
}

OpFunction Activation(const std::string& name) {
  return [name](OpCase& c) { return Activate(c.b, name, c.In("x")); };
}

std::map<std::string, OpFunction> LinearOps() {
  return {
      {"linear", [](OpCase& c) { return c.b.Linear(c.In("x"), c.Weight("w"), c.Weight("b")); }},
      {"linear_activation",
       [](OpCase& c) {
         return Activate(c.b, c.Get<std::string>("activation"),
                         c.b.Linear(c.In("x"), c.Weight("w"), c.Weight("b")));
       }},
      {"linear_residual",
       [](OpCase& c) { return c.b.Add(c.In("r"), c.b.Linear(c.In("x"), c.Weight("w"), c.Weight("b"))); }},
      {"matmul",
       [](OpCase& c) {
         return c.b.MatMul(c.In("a"), c.In("b"), c.Get<bool>("transpose_a"), c.Get<bool>("transpose_b"));
       }},
      {"matmul_shared", [](OpCase& c) { return c.b.MatMul(c.In("a"), c.Weight("b")); }},
  };
}

std::map<std::string, OpFunction> ImageOps() {
  return {
      {"conv2d", Conv2d},
      {"max_pool", [](OpCase& c) { return c.b.MaxPool2d(c.In("x"), Pool(c)); }},
      {"avg_pool",
       [](OpCase& c) {
         graph::Pool2dOptions options = Pool(c);
         options.count_padding = c.Get<bool>("count_padding");
         return c.b.AvgPool2d(c.In("x"), options);
       }},
      {"global_avg_pool", [](OpCase& c) { return c.b.GlobalAvgPool(c.In("x")); }},
      {"batch_norm", BatchNorm},
      {"batch_norm_inference", BatchNorm},
  };
}

std::map<std::string, OpFunction> ElementwiseOps() {
  std::map<std::string, OpFunction> ops = {
      {"add", Binary(&Builder::Add)},
      {"sub", Binary(&Builder::Sub)},
      {"mul", Binary(&Builder::Mul)},
      {"div", Binary(&Builder::Div)},
      {"residual_chain",
       [](OpCase& c) {
         const Tensor x = c.In("x"), r = c.In("r");
         return c.b.Add(c.b.Mul(c.b.Relu(c.b.Add(x, r)), x), c.b.Tanh(r));
       }},
  };
  for (const char* name : {"relu", "gelu", "gelu_tanh", "tanh", "sigmoid", "silu"})
    ops[name] = Activation(name);
  return ops;
}

std::map<std::string, OpFunction> SequenceOps() {
  return {
      {"layer_norm", [](OpCase& c) { return LayerNorm(c, c.In("x")); }},
      {"layer_norm_residual",
       [](OpCase& c) {
         const Tensor x = c.In("x");
         return c.b.Add(x, LayerNorm(c, x));
       }},
      {"softmax", [](OpCase& c) { return c.b.Softmax(c.In("x")); }},
      {"embedding", [](OpCase& c) { return c.b.Embedding(c.Plain("ids"), c.Weight("table")); }},
      {"positions",
       [](OpCase& c) {
         const Tensor x = c.In("x");
         return c.b.Add(x, c.b.Slice(c.Weight("table"), 0, 0, c.b.shape(x)[0]));
       }},
      {"rotary",
       [](OpCase& c) {
         return c.b.Rotary(c.In("x"), {.head_size = c.Get<int>("head_size"),
                                       .rotary_size = c.Get<int>("rotary_size"),
                                       .rotated_heads = c.Get<int>("rotated_heads"),
                                       .base = c.Get<double>("base")});
       }},
      {"attention",
       [](OpCase& c) {
         return c.b.Attention(c.In("q"), c.In("k"), c.In("v"), Attention(c), c.Plain("mask"));
       }},
      {"attention_packed", [](OpCase& c) { return c.b.AttentionPacked(c.In("qkv"), Attention(c)); }},
  };
}

std::map<std::string, OpFunction> ShapeOps() {
  return {
      {"reshape",
       [](OpCase& c) {
         const auto dims = c.Get<std::vector<int64_t>>("shape");
         return c.b.Reshape(c.In("x"), *Shape::FromDims({dims.data() + 1, dims.size() - 1}));
       }},
      {"transpose",
       [](OpCase& c) {
         auto permutation = c.Get<std::vector<int>>("permutation");
         permutation.erase(permutation.begin());
         for (int& axis : permutation) --axis;
         return c.b.Transpose(c.In("x"), permutation);
       }},
      {"concat",
       [](OpCase& c) {
         std::vector<Tensor> parts;
         for (const std::string& name : c.spec.inputs) parts.push_back(c.In(name));
         return c.b.Concat(parts, c.Axis());
       }},
      {"slice",
       [](OpCase& c) { return c.b.Slice(c.In("x"), c.Axis(), c.Get<int>("begin"), c.Get<int>("size")); }},
      {"sum", [](OpCase& c) { return c.b.Sum(c.In("x"), c.Axis()); }},
      {"mean", [](OpCase& c) { return c.b.Mean(c.In("x"), c.Axis()); }},
  };
}

const std::map<std::string, OpFunction>& Ops() {
  static const auto* ops = [] {
    auto* all = new std::map<std::string, OpFunction>;
    for (const auto& group : {LinearOps(), ImageOps(), ElementwiseOps(), SequenceOps(), ShapeOps()}) {
      all->insert(group.begin(), group.end());
    }
    return all;
  }();
  return *ops;
}

struct Named {
  std::shared_ptr<const GoldenFile> file;
  GoldenCase spec;
};

std::vector<Named> Cases(const std::vector<std::string>& groups) {
  std::vector<Named> all;
  for (const std::string& group : groups) {
    absl::StatusOr<GoldenFile> file = ReadGoldenFile(LOCKSTEP_SOURCE_DIR, "ops_" + group);
    if (!file.ok()) continue;  // FilesAreWhole fails then
    const auto shared = std::make_shared<const GoldenFile>(*std::move(file));
    for (const GoldenCase& spec : shared->cases) all.push_back({shared, spec});
  }
  return all;
}

std::string NameOfCase(const ::testing::TestParamInfo<Named>& info) { return info.param.spec.name; }

TEST(GoldenFiles, FilesAreWhole) {
  const std::map<std::string, size_t> least = {{"linear", 17}, {"conv", 12},        {"pool", 14},
                                               {"norm", 14},   {"elementwise", 15}, {"sequence", 19},
                                               {"shape", 15},  {"loss", 6}};
  for (const auto& [group, count] : least) {
    const auto file = ReadGoldenFile(LOCKSTEP_SOURCE_DIR, "ops_" + group);
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_GE(file->cases.size(), count) << group;
  }
}

void ExpectClose(const std::vector<float>& got, const std::vector<float>& want, const std::string& what) {
  EXPECT_EQ(Differs(got, want, kTolerance), "") << what;
}

class GoldenOp : public ::testing::TestWithParam<Named> {};

void TrainStep(OpCase& c, const graph::Graph& graph, bool fuse) {
  SCOPED_TRACE(fuse ? "fused" : "not fused");
  auto run = LaneRun::Make(graph, graph::Mode::kTrain, fuse);
  ASSERT_TRUE(run.ok()) << run.status();
  const auto out = run->Run(c.run);
  ASSERT_TRUE(out.ok()) << out.status();
  ExpectClose(out->gradients.at("dout/y"), c.At("out/y").Values(), "y");
  for (const std::string& input : c.spec.gradients) {
    ExpectClose(out->gradients.at("in/" + input), c.At("grad/" + input).Values(), "gradient of " + input);
  }
  for (const auto& [name, delta] : out->state_deltas) {
    std::vector<float> after = c.run.states.at(name);
    for (size_t i = 0; i < after.size(); ++i) after[i] += delta[i];
    ExpectClose(after, c.At("out/" + name).Values(), "state " + name);
  }
}

void Evaluate(OpCase& c, const graph::Graph& graph, bool fuse) {
  SCOPED_TRACE(fuse ? "evaluated, fused" : "evaluated, not fused");
  auto run = LaneRun::Make(graph, graph::Mode::kEvaluate, fuse);
  ASSERT_TRUE(run.ok()) << run.status();
  LaneRunInputs in = c.run;  // the layout of an evaluation still has every parameter
  const auto out = run->Run(in);
  ASSERT_TRUE(out.ok()) << out.status();
  ExpectClose(out->outputs.at("y"), c.At("out/y").Values(), "y");
}

TEST_P(GoldenOp, MatchesPyTorch) {
  const Named& named = GetParam();
  const auto op = Ops().find(named.spec.op);
  ASSERT_NE(op, Ops().end()) << "no operator '" << named.spec.op << "' in this test's table";
  OpCase c(*named.file, named.spec, named.file->At(named.spec.name + "/out/y").type.shape[0]);
  const Tensor y = op->second(c);
  ASSERT_TRUE(c.b.ok()) << c.b.error();
  c.b.Output("y", y);
  const bool trains = !c.spec.gradients.empty();
  if (trains) c.b.Loss(c.b.Sum(c.b.Flatten(c.b.Mul(y, c.Batched("dout/y"))), 0));
  const auto graph = std::move(c.b).Finish();
  ASSERT_TRUE(graph.ok()) << graph.status();
  for (const bool fuse : {true, false}) {
    if (trains) TrainStep(c, *graph, fuse);
    // A batch norm evaluates with its running statistics: that is the case <name>_inference.
    if (named.spec.op != "batch_norm") Evaluate(c, *graph, fuse);
  }
}

INSTANTIATE_TEST_SUITE_P(Linear, GoldenOp, ::testing::ValuesIn(Cases({"linear"})), NameOfCase);
INSTANTIATE_TEST_SUITE_P(Image, GoldenOp, ::testing::ValuesIn(Cases({"conv", "pool"})), NameOfCase);
INSTANTIATE_TEST_SUITE_P(Norm, GoldenOp, ::testing::ValuesIn(Cases({"norm"})), NameOfCase);
INSTANTIATE_TEST_SUITE_P(Elementwise, GoldenOp, ::testing::ValuesIn(Cases({"elementwise"})), NameOfCase);
INSTANTIATE_TEST_SUITE_P(Sequence, GoldenOp, ::testing::ValuesIn(Cases({"sequence"})), NameOfCase);
INSTANTIATE_TEST_SUITE_P(Shape, GoldenOp, ::testing::ValuesIn(Cases({"shape"})), NameOfCase);

class GoldenLoss : public ::testing::TestWithParam<Named> {};

// The weighted sum of a loss and the gradient of that sum; weights come as a mask, or as the samples'
// weights.
TEST_P(GoldenLoss, MatchesPyTorch) {
  const Named& named = GetParam();
  const bool squared = named.spec.op == "mean_squared_error";
  const std::string predicted = squared ? "prediction" : "logits";
  OpCase c(*named.file, named.spec, named.file->At(named.spec.name + "/in/" + predicted).type.shape[0]);
  const Tensor x = c.In(predicted);
  if (squared) {
    c.run.sample_weights = c.At("in/weights").Values();
    c.b.Loss(c.b.MeanSquaredError(x, c.Plain("target")));
  } else {
    const Tensor labels = c.Plain("labels"), weights = c.Plain("weights");
    const Tensor value =
        c.spec.op == "accuracy" ? c.b.Accuracy(x, labels, weights) : c.b.CrossEntropy(x, labels, weights);
    if (c.spec.op == "accuracy") c.b.Loss(c.b.CrossEntropy(x, labels, weights));  // something to train
    c.spec.op == "accuracy" ? c.b.Metric("hits", value) : c.b.Loss(value);
  }
  const auto graph = std::move(c.b).Finish();
  ASSERT_TRUE(graph.ok()) << graph.status();
  for (const bool fuse : {true, false}) {
    auto run = LaneRun::Make(*graph, graph::Mode::kTrain, fuse);
    ASSERT_TRUE(run.ok()) << run.status();
    const auto out = run->Run(c.run);
    ASSERT_TRUE(out.ok()) << out.status();
    const bool metric = c.spec.op == "accuracy";
    const double sum = metric ? out->metrics.at("hits").sum : out->loss.sum;
    ExpectClose({static_cast<float>(sum)}, c.At(metric ? "out/hits" : "out/loss").Values(), "sum");
    double weight = 0;
    for (const float w : c.At("in/weights").Values()) weight += w;
    EXPECT_NEAR(metric ? out->metrics.at("hits").weight : out->loss.weight, weight, 1e-5);
    if (metric) continue;
    std::vector<float> gradient = out->gradients.at("in/" + predicted);
    const float seed = c.At("dout/loss").Values()[0];
    for (float& g : gradient) g *= seed;
    ExpectClose(gradient, c.At("grad/" + predicted).Values(), "gradient of " + predicted);
  }
}

INSTANTIATE_TEST_SUITE_P(Loss, GoldenLoss, ::testing::ValuesIn(Cases({"loss"})), NameOfCase);

}  // namespace
}  // namespace lockstep::testing
