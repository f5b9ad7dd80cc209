#include <cmath>

#include "tests/kernels/op_runner.h"

namespace lockstep::kernels {
namespace {

TEST(RotaryTest, TurnsPairsOfHalvesAndBack) {
  struct Case {
    int64_t heads, rotated, size, rotary;
  };
  for (const Case& c : {Case{3, 3, 8, 0}, Case{6, 4, 10, 6}, Case{1, 0, 2, 2}, Case{2, 2, 64, 64}}) {
    const int64_t r = c.rotary ? c.rotary : c.size;
    const auto x = Random({2, 5, c.heads * c.size}, 1);
    RotaryAttributes attributes{c.size, c.rotary, c.rotated, 3, 100, false};
    const auto run = RunOp(OpKind::kRotary, attributes, {x});
    ExpectNear(run.outputs[0], [&](int64_t i) {
      const int64_t in_head = i % c.size, head = i / c.size % c.heads, t = i / (c.size * c.heads) % 5;
      if (head >= c.rotated || in_head >= r) return x.At(i);
      const int64_t pair = in_head % (r / 2);
      const double angle = (t + 3) * std::pow(100.0, -2.0 * pair / r);
      if (in_head < r / 2) return x.At(i) * std::cos(angle) - x.At(i + r / 2) * std::sin(angle);
      return x.At(i) * std::cos(angle) + x.At(i - r / 2) * std::sin(angle);
    });
    attributes.inverse = true;
    ExpectNear(RunOp(OpKind::kRotary, attributes, {run.outputs[0]}).outputs[0], Doubles(x), 1e-6);
  }
}

}  // namespace
}  // namespace lockstep::kernels
