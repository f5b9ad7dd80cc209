#include <cmath>

#include "runtime/core/rng.h"
#include "tests/kernels/op_runner.h"

namespace lockstep::kernels {
namespace {

double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double GeluTanh(double x) {
  return x / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}
double GeluErf(double x) { return x / 2 * (1 + std::erf(x / std::sqrt(2.0))); }

template <typename F>
double Slope(const F& f, double x) {
  return (f(x + 1e-5) - f(x - 1e-5)) / 2e-5;
}

// The meaning of each instruction, in double.
double Evaluate(const Instruction& i, double a, double b, double c) {
  switch (i.op) {
    case ProgramOp::kConstant:
      return i.immediate;
    case ProgramOp::kNeg:
      return -a;
    case ProgramOp::kAbs:
      return std::abs(a);
    case ProgramOp::kSquare:
      return a * a;
    case ProgramOp::kSqrt:
      return std::sqrt(a);
    case ProgramOp::kRsqrt:
      return 1 / std::sqrt(a);
    case ProgramOp::kReciprocal:
      return 1 / a;
    case ProgramOp::kExp:
      return std::exp(a);
    case ProgramOp::kLog:
      return std::log(a);
    case ProgramOp::kScale:
      return a * i.immediate;
    case ProgramOp::kShift:
      return a + i.immediate;
    case ProgramOp::kRelu:
      return std::max(a, 0.0);
    case ProgramOp::kTanh:
      return std::tanh(a);
    case ProgramOp::kSigmoid:
      return Sigmoid(a);
    case ProgramOp::kSilu:
      return a * Sigmoid(a);
    case ProgramOp::kGeluTanh:
      return GeluTanh(a);
    case ProgramOp::kGeluErf:
      return GeluErf(a);
    case ProgramOp::kAdd:
      return a + b;
    case ProgramOp::kSub:
      return a - b;
    case ProgramOp::kMul:
      return a * b;
    case ProgramOp::kDiv:
      return a / b;
    case ProgramOp::kMax:
      return std::max(a, b);
    case ProgramOp::kMin:
      return std::min(a, b);
    case ProgramOp::kGreater:
      return a > b;
    case ProgramOp::kEqual:
      return a == b;
    case ProgramOp::kReluGrad:
      return a > 0 ? b : 0;
    case ProgramOp::kTanhGrad:
      return b * (1 - a * a);
    case ProgramOp::kSigmoidGrad:
      return b * a * (1 - a);
    case ProgramOp::kSiluGrad:
      return b * Slope([](double x) { return x * Sigmoid(x); }, a);
    case ProgramOp::kGeluTanhGrad:
      return b * Slope(GeluTanh, a);
    case ProgramOp::kGeluErfGrad:
      return b * Slope(GeluErf, a);
    case ProgramOp::kSelect:
      return a != 0 ? b : c;
    case ProgramOp::kMulAdd:
      return a * b + c;
    default:
      return 0;
  }
}

OpRun RunProgram(const Program& program, const Shape& full, const std::vector<TestTensor>& inputs,
                 const OpOptions& options = {}) {
  return RunOp(OpKind::kElementwise, ProgramAttributes{program, full}, inputs, options);
}

Program Loads(int count) {
  Program program;
  for (int i = 0; i < count; ++i) program.Append({.op = ProgramOp::kLoad, .a = static_cast<uint16_t>(i)});
  return program;
}

class EveryInstruction : public testing::TestWithParam<ProgramOp> {};

TEST_P(EveryInstruction, MeansWhatItSays) {
  const ProgramOp op = GetParam();
  const bool positive = op == ProgramOp::kLog || op == ProgramOp::kSqrt || op == ProgramOp::kRsqrt;
  for (const Shape& shape : {Shape{1}, Shape{7, 13}, Shape{3, 1024}, Shape{2501}}) {
    Program program = Loads(3);
    const Instruction instruction = {.op = op, .a = 0, .b = 1, .c = 2, .immediate = 0.7f};
    program.outputs = {program.Append(instruction)};
    const auto a = Random(shape, 1, positive ? 0.01 : -6, 6), b = Random(shape, 2, 0.5, 3),
               c = Random(shape, 3);
    for (int64_t i = 0; i < a.size(); i += 5) a.Set(i, op == ProgramOp::kEqual ? b.At(i) : positive ? 1 : 0);
    const auto run = RunProgram(program, shape, {a, b, c});
    ExpectNear(
        run.outputs[0], [&](int64_t i) { return Evaluate(instruction, a.At(i), b.At(i), c.At(i)); }, 1.5e-6);
  }
}

INSTANTIATE_TEST_SUITE_P(Instructions, EveryInstruction,
                         testing::Values(ProgramOp::kConstant, ProgramOp::kNeg, ProgramOp::kAbs,
                                         ProgramOp::kSquare, ProgramOp::kSqrt, ProgramOp::kRsqrt,
                                         ProgramOp::kReciprocal, ProgramOp::kExp, ProgramOp::kLog,
                                         ProgramOp::kScale, ProgramOp::kShift, ProgramOp::kRelu,
                                         ProgramOp::kTanh, ProgramOp::kSigmoid, ProgramOp::kSilu,
                                         ProgramOp::kGeluTanh, ProgramOp::kGeluErf, ProgramOp::kAdd,
                                         ProgramOp::kSub, ProgramOp::kMul, ProgramOp::kDiv, ProgramOp::kMax,
                                         ProgramOp::kMin, ProgramOp::kGreater, ProgramOp::kEqual,
                                         ProgramOp::kReluGrad, ProgramOp::kTanhGrad, ProgramOp::kSigmoidGrad,
                                         ProgramOp::kSiluGrad, ProgramOp::kGeluTanhGrad,
                                         ProgramOp::kGeluErfGrad, ProgramOp::kSelect, ProgramOp::kMulAdd));

TEST(ElementwiseTest, ExtremesStayFiniteAndNaNStaysNaN) {
  const std::vector<double> values = {-1e30, -1e4, -110, -90, 90, 110, 1e4, 1e30, NAN, 0};
  const TestTensor x = FromValues({DType::kF32, {10}}, values);
  for (ProgramOp op : {ProgramOp::kTanh, ProgramOp::kSigmoid, ProgramOp::kSilu, ProgramOp::kGeluTanh,
                       ProgramOp::kGeluErf, ProgramOp::kRelu, ProgramOp::kExp}) {
    Program program = Loads(1);
    program.outputs = {program.Append({.op = op, .a = 0})};
    const auto run = RunProgram(program, {10}, {x});
    for (int i = 0; i < 10; ++i) {
      EXPECT_EQ(std::isnan(run.outputs[0].At(i)), i == 8) << static_cast<int>(op) << " at " << values[i];
      EXPECT_TRUE(op == ProgramOp::kExp || !std::isinf(run.outputs[0].At(i)))
          << static_cast<int>(op) << " " << i;
    }
  }
}

TEST(ElementwiseTest, BroadcastsAsDocumented) {
  struct Case {
    Shape full, small;
    std::function<int64_t(int64_t)> at;
  };
  const std::vector<Case> cases = {
      {{2, 3, 5}, {}, [](int64_t) { return 0; }},
      {{2, 3, 5}, {1}, [](int64_t) { return 0; }},
      {{2, 3, 5}, {5}, [](int64_t i) { return i % 5; }},
      {{2, 3, 5}, {1, 1, 5}, [](int64_t i) { return i % 5; }},
      {{2, 3, 5}, {3, 5}, [](int64_t i) { return i % 15; }},
      {{2, 3, 5}, {2, 3, 1}, [](int64_t i) { return i / 5; }},
      {{2, 3, 5}, {2, 1, 1}, [](int64_t i) { return i / 15; }},
      {{4, 3, 1}, {4, 1, 1}, [](int64_t i) { return i / 3; }},
      {{3, 384}, {384}, [](int64_t i) { return i % 384; }},
      {{3, 1536}, {1536}, [](int64_t i) { return i % 1536; }},
      {{3, 1543}, {1543}, [](int64_t i) { return i % 1543; }},
      {{2, 1100, 2}, {2, 1, 1}, [](int64_t i) { return i / 2200; }},
      {{2, 40, 48}, {40, 48}, [](int64_t i) { return i % 1920; }},
  };
  for (const Case& c : cases) {
    Program program = Loads(2);
    program.outputs = {program.Append({.op = ProgramOp::kSub, .a = 0, .b = 1})};
    const auto x = Random(c.full, 5), y = Random(c.small, 6);
    const auto run = RunProgram(program, c.full, {x, y});
    ExpectNear(run.outputs[0], [&](int64_t i) { return x.At(i) - y.At(c.at(i)); });
  }
}

TEST(ElementwiseTest, ConvertsIntegers) {
  const std::vector<double> values = {0, 1, 200, 3, 255};
  for (DType dtype : {DType::kU8, DType::kI32, DType::kI64}) {
    for (const Shape& full : {Shape{5}, Shape{3, 5}}) {
      Program program = Loads(1);
      program.outputs = {program.Append({.op = ProgramOp::kScale, .a = 0, .immediate = 0.5f})};
      const auto run = RunProgram(program, full, {FromValues({dtype, {5}}, values)});
      ExpectNear(run.outputs[0], [&](int64_t i) { return values[i % 5] / 2; });
    }
  }
}

// Outputs that pass inputs through, or swap them, with many registers and several outputs.
TEST(ElementwiseTest, SeveralOutputsSurviveAnyAliasing) {
  const Shape shape = {3, 700};
  Program program = Loads(2);
  const uint16_t sum = program.Append({.op = ProgramOp::kAdd, .a = 0, .b = 1});
  const uint16_t gelu = program.Append({.op = ProgramOp::kGeluTanh, .a = sum});
  const uint16_t late = program.Append({.op = ProgramOp::kMul, .a = gelu, .b = 0});
  program.outputs = {sum, 1, 0, late};
  const auto x = Random(shape, 7), y = Random(shape, 8);
  const auto run = RunProgram(program, shape, {x, y});
  ExpectNear(run.outputs[0], [&](int64_t i) { return x.At(i) + y.At(i); });
  ExpectNear(run.outputs[1], Doubles(y));
  ExpectNear(run.outputs[2], Doubles(x));
  ExpectNear(run.outputs[3], [&](int64_t i) { return GeluTanh(x.At(i) + y.At(i)) * x.At(i); });
}

// A value computed from the input, then used with the input again: the classic trap of writing too early in
// place.
TEST(ElementwiseTest, AnOutputUsedLaterMayStillOverwriteItsInput) {
  Program program = Loads(1);
  const uint16_t first = program.Append({.op = ProgramOp::kExp, .a = 0});
  const uint16_t second = program.Append({.op = ProgramOp::kMul, .a = first, .b = 0});
  const uint16_t third = program.Append({.op = ProgramOp::kAdd, .a = second, .b = first});
  program.outputs = {first, third};
  const auto x = Random({2049}, 9);
  const auto run = RunProgram(program, {2049}, {x});
  ExpectNear(run.outputs[1], [&](int64_t i) { return std::exp(x.At(i)) * (x.At(i) + 1); });
}

bool Dropped(uint64_t key, uint64_t site, int64_t position, int64_t e, float rate) {
  const auto words = Philox(key ^ site, e / 64 * 16 + e % 16, position);
  return UniformFloat(words[e % 64 / 16]) < rate;
}

TEST(DropoutTest, FollowsThePhiloxOfItsPositionWhateverTheSplit) {
  const float rate = 0.3f;
  for (const Shape& sample : {Shape{1}, Shape{7, 31}, Shape{1500}, Shape{64, 40}}) {
    const int64_t size = sample.NumElements();
    std::vector<int64_t> positions = {5, int64_t{1} << 40, 0};
    Program program = Loads(1);
    program.outputs = {
        program.Append({.op = ProgramOp::kDropout, .a = 0, .immediate = rate, .site = 0xABCDEF0123456789})};
    Shape full = {3};
    for (int64_t d : sample.dims()) full.Append(d);
    const auto x = Random(full, 10, 1, 2);
    OpOptions options;
    options.context = {0x1234567890ABCDEF, positions};
    const auto run = RunProgram(program, full, {x}, options);
    const auto expected = [&](int64_t i) {
      return Dropped(0x1234567890ABCDEF, 0xABCDEF0123456789, positions[i / size], i % size, rate)
                 ? 0
                 : x.At(i) / (1 - rate);
    };
    ExpectNear(run.outputs[0], expected);

    Shape one = full;
    one.Set(0, 1);
    const std::vector<int64_t> second = {positions[1]};
    options.context.positions = second;
    std::vector<double> part(x.size() / 3);
    for (int64_t i = 0; i < size; ++i) part[i] = x.At(size + i);
    const auto alone = RunProgram(program, one, {FromValues({DType::kF32, one}, part)}, options);
    for (int64_t i = 0; i < size; ++i) ASSERT_EQ(alone.outputs[0].At(i), run.outputs[0].At(size + i));
  }
}

TEST(DropoutTest, DropsTheShareItSays) {
  Program program = Loads(1);
  program.outputs = {program.Append({.op = ProgramOp::kDropout, .a = 0, .immediate = 0.1f, .site = 3})};
  const std::vector<int64_t> positions = {17};
  OpOptions options;
  options.context = {99, positions};
  const auto run = RunProgram(program, {1, 100000}, {Random({1, 100000}, 1, 1, 1)}, options);
  double dropped = 0;
  for (int64_t i = 0; i < 100000; ++i) dropped += run.outputs[0].At(i) == 0;
  EXPECT_NEAR(dropped / 100000, 0.1, 0.004);  // four standard deviations
}

}  // namespace
}  // namespace lockstep::kernels
