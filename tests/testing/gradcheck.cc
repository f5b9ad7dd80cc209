#include "tests/testing/gradcheck.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace lockstep::graph {
namespace {

double LossAt(LaneHarness& lane, float* element, double value) {
  *element = static_cast<float>(value);
  return lane.Run();
}

double Difference(LaneHarness& lane, float* element, double step) {
  const float kept = *element;
  // The moves as fp32 holds them.
  const double h = static_cast<double>(static_cast<float>(kept + step)) - kept;
  const double near = LossAt(lane, element, kept + h) - LossAt(lane, element, kept - h);
  const double far = LossAt(lane, element, kept + 2 * h) - LossAt(lane, element, kept - 2 * h);
  *element = kept;
  return (8 * near - far) / (12 * h);
}

void CheckParameter(LaneHarness& lane, const ParameterLayout::Entry& entry, const GradcheckOptions& options) {
  lane.Run();
  const absl::Span<float> live = lane.gradient(entry.name);
  const std::vector<float> gradient(live.begin(), live.end());
  double scale = 0.1;
  for (float g : gradient) scale = std::max(scale, static_cast<double>(std::fabs(g)));
  const absl::Span<float> values = lane.parameter(entry.name);
  const size_t stride = std::max<size_t>(1, entry.elements / static_cast<size_t>(options.elements_a_tensor));
  for (size_t i = 0; i < entry.elements; i += stride) {
    const double numeric = Difference(lane, &values[i], options.step);
    ASSERT_NEAR(gradient[i], numeric, options.tolerance * scale)
        << entry.name << " " << entry.shape.ToString() << " element " << i << "\n"
        << lane.program().Describe();
  }
}

}  // namespace

void CheckGradients(const ModelFunction& model, const GradcheckOptions& options) {
  for (bool fuse : {false, true}) {
    SCOPED_TRACE(fuse ? "fused" : "not fused");
    HarnessOptions harness = options.harness;
    harness.compile.fuse = fuse;
    LaneHarness lane(model, harness);
    if (!lane.ok()) return;
    for (const ParameterLayout::Entry& entry : lane.program().parameter_layout().entries) {
      CheckParameter(lane, entry, options);
    }
  }
}

}  // namespace lockstep::graph
