// Samples that are pictures with a label.
#ifndef LOCKSTEP_RUNTIME_DATA_IMAGE_IMAGE_SOURCE_H_
#define LOCKSTEP_RUNTIME_DATA_IMAGE_IMAGE_SOURCE_H_

#include <memory>
#include <string>

#include "runtime/core/status.h"
#include "runtime/data/dataset.h"
#include "runtime/data/example_parser.h"
#include "runtime/data/image/image_transform.h"
#include "runtime/data/sample_source.h"

namespace lockstep::data {

// Sample i is record i of `dataset`. Inputs: "image", F32 [height, width, channels], made by `options` from
// the bytes feature `feature`, which holds one JPEG or PNG file; and the feature `label`, named as it is.
// What is drawn at random depends on the position that DecodeAt is given; Decode takes the sample's number
// for it. The first record is decoded at once, so that a wrong name or type is told before training starts.
absl::StatusOr<std::shared_ptr<const SampleSource>> MakeImageSource(std::shared_ptr<const Dataset> dataset,
                                                                    std::string feature, ImageOptions options,
                                                                    FeatureSpec label);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_IMAGE_IMAGE_SOURCE_H_
