// From the configuration to the order of the data.
#ifndef LOCKSTEP_RUNTIME_TRAIN_FEED_ORDER_H_
#define LOCKSTEP_RUNTIME_TRAIN_FEED_ORDER_H_

#include <cstdint>
#include <vector>

#include "proto/run_config.pb.h"
#include "runtime/core/status.h"
#include "runtime/data/batcher.h"
#include "runtime/data/record_filter.h"

namespace lockstep::train {

// data.filter.
std::vector<data::RecordCondition> FilterOf(const DataConfig& data);

// The order of training; `samples` of each part of data.mixture, or of the one set of records. ConfigError
// naming the field where sizes do not go together.
absl::StatusOr<data::Order> OrderOf(const RunConfig& config, const std::vector<int64_t>& samples);

// With eval.last_batch: DROP, takes from `records` those that fill no micro-batch. ConfigError when none is
// left.
absl::Status DropLastChunk(const EvalConfig& eval, int64_t micro_batch, int64_t* records);

// What data.damaged says; and of validation, whose records no other can stand for: MASK where training goes
// on.
data::DamagePolicy DamagePolicyOf(const RunConfig& config);
data::DamagePolicy EvalDamagePolicy(data::DamagePolicy training);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_FEED_ORDER_H_
