// Damaged records that a Feed has met.
#include "runtime/train/feed.h"

namespace lockstep::train {

void Feed::Note(const std::vector<data::DamagedSample>& damaged,
                std::map<int64_t, data::DamagedSample>* notes) {
  if (damaged.empty()) return;
  std::lock_guard lock(damage_mutex_);
  for (const data::DamagedSample& sample : damaged) notes->insert_or_assign(sample.position, sample);
}

// A step may be fetched again, and by other lanes: what counts is where a damaged record stands.
std::vector<data::DamagedSample> Feed::DamageOf(int64_t step) {
  const data::BatchPlan& plan = batcher_->plan();
  std::lock_guard lock(damage_mutex_);
  damage_.erase(damage_.begin(), damage_.lower_bound(plan.FirstPosition(step, 0, 0)));
  std::vector<data::DamagedSample> found;
  const auto end = damage_.lower_bound(plan.FirstPosition(step, owned_.end, 0));
  for (auto at = damage_.lower_bound(plan.FirstPosition(step, owned_.begin, 0)); at != end; ++at)
    found.push_back(at->second);
  return found;
}

std::vector<data::DamagedSample> Feed::TakeEvalDamage() {
  std::lock_guard lock(damage_mutex_);
  std::vector<data::DamagedSample> found;
  for (const auto& [position, sample] : eval_damage_) found.push_back(sample);
  eval_damage_.clear();
  return found;
}

}  // namespace lockstep::train
