// The kinds of samples there are: records of features, windows of text, and made-up tensors.
#ifndef LOCKSTEP_RUNTIME_DATA_SOURCES_H_
#define LOCKSTEP_RUNTIME_DATA_SOURCES_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/core/status.h"
#include "runtime/data/dataset.h"
#include "runtime/data/example_parser.h"
#include "runtime/data/sample_source.h"
#include "runtime/data/text/tokenizer.h"

namespace lockstep::data {

// Sample i is record i of `dataset`; an input for each feature, named as it is, and those that OutputsOf
// adds. The first record is parsed at once, so that a wrong name, type or shape is told before training
// starts.
absl::StatusOr<std::shared_ptr<const SampleSource>> MakeExampleSource(std::shared_ptr<const Dataset> dataset,
                                                                      std::vector<FeatureSpec> features);

// The same of tf.train.SequenceExamples; inputs as SequenceParser::outputs(). A name may stand only once.
absl::StatusOr<std::shared_ptr<const SampleSource>> MakeSequenceSource(std::shared_ptr<const Dataset> dataset,
                                                                       std::vector<FeatureSpec> context,
                                                                       std::vector<FeatureSpec> lists);

// Text as byte tokens. All text is joined in order into M tokens and cut into windows. Inputs of sample k:
//   "tokens"  I32 [length]  tokens k*stride .. k*stride + length - 1
//   "targets" I32 [length]  the token after each of them
// for every k whose last target exists: (M - length - 1) / stride + 1 samples. Each token but the first is a
// target exactly once where stride = length, apart from the fewer than `length` at the end.
struct WindowOptions {
  int64_t length = 0;  // >= 1
  int64_t stride = 0;  // >= 1; 0: length
};

// The text is the bytes feature `feature` of the records. Opening reads and checks all of it once.
absl::StatusOr<std::shared_ptr<const SampleSource>> MakeTextSource(std::shared_ptr<const Dataset> dataset,
                                                                   const std::string& feature,
                                                                   WindowOptions options);
// The text is plain files (patterns as Dataset::Open).
absl::StatusOr<std::shared_ptr<const SampleSource>> MakeTextFileSource(
    FileSystem* fs, const std::vector<std::string>& patterns, WindowOptions options);

// Windows as above, of tokens. The tokens are made of the texts of the records, each on its own, or are what
// the records hold; either way all of them are read when the source is opened, and kept in 2 or 4 bytes each.
struct TokenOptions {
  std::string feature;  // of the records: bytes that are text, or ids:
  bool holds_ids = false;
  int id_bytes = 0;  // 0: an int64_list. 1, 2, 4, 8: bytes, so many an id, unsigned, little-endian
  std::shared_ptr<const Tokenizer> tokenizer = nullptr;  // needed for text
  std::string separator = {};                            // "": none. A token that follows each record
  int64_t vocabulary = 0;  // ids must lie in [0, vocabulary); 0: what the tokenizer says
  WindowOptions windows = {};
  // Each window holds whole records, as pack_plan.h packs them; longer ones are cut. No target is of another
  // record than its token. Two more inputs, of the windows' length: "targets.mask", U8, 1 where there is a
  // target and 0 where the window is filled up, and "tokens.segment", I32, which of the window's records a
  // token is of, from 1; 0 where it is filled up.
  bool packed = false;  // the stride is not used
};
// BytesPerTarget is known where there is a tokenizer that loses no byte.
absl::StatusOr<std::shared_ptr<const SampleSource>> MakeTokenSource(std::shared_ptr<const Dataset> dataset,
                                                                    TokenOptions options);

// Several sources as one, their samples one behind the other. Error: ConfigError where their inputs differ.
absl::StatusOr<std::shared_ptr<const SampleSource>> MakeJoinedSource(
    std::vector<std::shared_ptr<const SampleSource>> parts);

// One tensor of a synthetic sample: standard normal numbers for F32, integers in [0, below) for I32 and I64.
struct SyntheticInput {
  InputSpec spec;
  int64_t below = 0;
};
// Element j of input i of sample k is a function of (seed, i, k, j) alone (Philox). repeats_first_step() is
// true: every step is offered the samples of step 0.
absl::StatusOr<std::shared_ptr<const SampleSource>> MakeSyntheticSource(uint64_t seed, int64_t samples,
                                                                        std::vector<SyntheticInput> inputs);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_SOURCES_H_
