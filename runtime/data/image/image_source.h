// Samples that are pictures with a label.
#ifndef LOCKSTEP_RUNTIME_DATA_IMAGE_IMAGE_SOURCE_H_
#define LOCKSTEP_RUNTIME_DATA_IMAGE_IMAGE_SOURCE_H_

#include <memory>
#include <optional>
#include <string>

#include "runtime/core/status.h"
#include "runtime/data/dataset.h"
#include "runtime/data/example_parser.h"
#include "runtime/data/image/image_mix.h"
#include "runtime/data/image/image_transform.h"
#include "runtime/data/sample_source.h"

namespace lockstep::data {

// Sample i is record i of `dataset`. Inputs: "image", F32 [height, width, channels], made by `options` from
// the bytes feature `feature`, which holds one JPEG or PNG file; and the feature `label`, named as it is.
// What is drawn at random depends on the position that DecodeAt is given; Decode takes the sample's number
// for it. The first record is decoded at once, so that a wrong name or type is told before training starts.
//
// With `mix` (its sizes are those of `options`), for a label of one I64, there are two more inputs:
// "LABEL.other", I64, the label of the sample that this one is mixed with, and "LABEL.share", F32, the share
// of its own; MixBatch mixes, and until then they are the own label and 1.
absl::StatusOr<std::shared_ptr<const SampleSource>> MakeImageSource(std::shared_ptr<const Dataset> dataset,
                                                                    std::string feature, ImageOptions options,
                                                                    FeatureSpec label,
                                                                    std::optional<ImageMixOptions> mix = {});

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_IMAGE_IMAGE_SOURCE_H_
