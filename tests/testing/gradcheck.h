// Compares gradients that the graph computes with differences of the loss.
#ifndef LOCKSTEP_TESTS_TESTING_GRADCHECK_H_
#define LOCKSTEP_TESTS_TESTING_GRADCHECK_H_

#include "tests/testing/lane_harness.h"

namespace lockstep::graph {

struct GradcheckOptions {
  HarnessOptions harness;
  double step = 0.02;  // of the difference quotient
  double tolerance =
      2e-3;  // of each element, relative to the largest gradient of its tensor (at least to 0.1)
  int elements_a_tensor = 24;  // how many elements of each parameter are moved, spread evenly
};

// For every parameter of `model`: d loss / d element, against the five-point difference (error of order
// step^4)
//   (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / (12 h).
// The kernels work in fp32, so the loss carries noise of about 1e-7 of its parts; step and tolerance are
// chosen for losses of the order of 1. Runs the model with fusion on and off. Fails the test where they
// differ.
void CheckGradients(const ModelFunction& model, const GradcheckOptions& options = {});

}  // namespace lockstep::graph

#endif  // LOCKSTEP_TESTS_TESTING_GRADCHECK_H_
