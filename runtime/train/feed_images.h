// data.image of a configuration as a source of samples. Only feed.cc includes it.
#ifndef LOCKSTEP_RUNTIME_TRAIN_FEED_IMAGES_H_
#define LOCKSTEP_RUNTIME_TRAIN_FEED_IMAGES_H_

#include <cstdint>
#include <memory>

#include "proto/run_config.pb.h"
#include "runtime/core/status.h"
#include "runtime/data/dataset.h"
#include "runtime/data/example_parser.h"
#include "runtime/data/sample_source.h"

namespace lockstep::train {

// `augment`: as for training, with draws from `seed`; else as for validation. Errors: DataError of the first
// record, ConfigError.
absl::StatusOr<std::shared_ptr<const data::SampleSource>> OpenImages(
    const ImageData& config, uint64_t seed, bool augment, std::shared_ptr<const data::Dataset> dataset,
    data::FeatureSpec label);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_FEED_IMAGES_H_
