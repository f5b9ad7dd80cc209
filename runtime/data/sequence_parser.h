// Takes the wanted features out of a serialized tf.train.SequenceExample: a context, which is as an Example,
// and lists of features, each a feature a step. What is said of the ExampleParser holds here too.
#ifndef LOCKSTEP_RUNTIME_DATA_SEQUENCE_PARSER_H_
#define LOCKSTEP_RUNTIME_DATA_SEQUENCE_PARSER_H_

#include <cstddef>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/core/status.h"
#include "runtime/data/example_parser.h"

namespace lockstep::data {

// Immutable and thread-safe.
class SequenceParser {
 public:
  // Feature lists are
  //   fixed     exactly type.shape[0] steps, each of exactly the rest of the shape
  //   variable  up to type.shape[0] steps, each of exactly the rest of the shape; a list that is not there
  //             has none (as TensorFlow's FixedLenSequenceFeature with allow_missing)
  //   ragged    up to ragged_rows steps of any length
  // A step whose feature holds no list is an error in the first two, and a row of no elements in the last. A
  // fallback of a fixed list stands for all of it. Errors: those of CheckFeatures; a name may stand in both.
  static absl::StatusOr<SequenceParser> Create(std::vector<FeatureSpec> context,
                                               std::vector<FeatureSpec> lists);

  // OutputsOf(context), then OutputsOf(lists).
  const std::vector<InputSpec>& outputs() const { return outputs_; }

  // As ExampleParser::Parse.
  absl::Status Parse(absl::string_view record, absl::Span<std::byte* const> outputs) const;

 private:
  SequenceParser(ExampleParser context, std::vector<FeatureSpec> lists);

  ExampleParser context_;
  std::vector<FeatureSpec> lists_;
  std::vector<FeatureSpec> steps_;  // one step of each list, as if it stood alone
  std::vector<InputSpec> outputs_;
};

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_SEQUENCE_PARSER_H_
