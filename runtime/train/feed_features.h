// data.input, data.extra and data.label of a configuration as a source of samples.
#ifndef LOCKSTEP_RUNTIME_TRAIN_FEED_FEATURES_H_
#define LOCKSTEP_RUNTIME_TRAIN_FEED_FEATURES_H_

#include <memory>

#include "proto/run_config.pb.h"
#include "runtime/core/status.h"
#include "runtime/data/dataset.h"
#include "runtime/data/feature_spec.h"
#include "runtime/data/sample_source.h"

namespace lockstep::train {

// What the model gets of it.
DType TypeOfInput(const InputFeature& input);

// data.label. Error: ConfigError.
absl::StatusOr<data::FeatureSpec> LabelSpec(const DataConfig& config);

// Errors: ConfigError, DataError of the first record.
absl::StatusOr<std::shared_ptr<const data::SampleSource>> OpenFeatures(
    const DataConfig& config, std::shared_ptr<const data::Dataset> dataset);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_FEED_FEATURES_H_
