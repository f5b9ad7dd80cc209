// Small models that use most of the operators.
#ifndef LOCKSTEP_TESTS_GRAPH_MODELS_H_
#define LOCKSTEP_TESTS_GRAPH_MODELS_H_

#include <string>
#include <vector>

#include "tests/testing/lane_harness.h"

namespace lockstep::graph {

struct NamedModel {
  std::string name;
  ModelFunction model;
};

void TinyMlp(Builder& b);      // 6 features -> 4 classes; layers fc1, fc2
void TinyCnn(Builder& b);      // [8, 8, 3] -> 4 classes; residual block, batch norms
void TinyGpt(Builder& b);      // 6 tokens of 4; two blocks, tied embedding, dropout
void TinyLlama(Builder& b);    // 6 tokens of 4; rotary, grouped queries, gated units
void TinyEncoder(Builder& b);  // masked attention, layer norm after, squared error

std::vector<NamedModel> TestModels();

// Random operators on [3, 8] tensors with skips, tied weights and dropout, so that lives nest and cross. A
// function of `seed`.
void RandomModel(Builder& b, uint64_t seed);

// Parameter helpers: weight [out, in] and bias under a scope.
Tensor Dense(Builder& b, absl::string_view scope, Tensor x, int64_t out, bool bias = true);

}  // namespace lockstep::graph

#endif  // LOCKSTEP_TESTS_GRAPH_MODELS_H_
