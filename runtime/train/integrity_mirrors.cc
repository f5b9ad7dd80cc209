// Silent corruption of a sharded optimizer's state, which the mirrors of shards let ranks find.
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "runtime/train/integrity.h"
#include "runtime/train/json_line.h"
#include "runtime/train/shard_plan.h"

namespace lockstep::train {

absl::StatusOr<bool> Integrity::CompareMirrors(LaneTeam& team, absl::Span<const NamedBuffer> own,
                                               absl::Span<const NamedBuffer> mirrored, int64_t step,
                                               Logger* log) {
  const uint64_t hashes[] = {FingerprintState(team, own, step, {}).all_tensors,
                             FingerprintState(team, mirrored, step, {}).all_tensors};
  ASSIGN_OR_RETURN(std::vector<uint64_t> all, GatherHashes(*communicator_, hashes));
  const int size = communicator_->size();
  std::vector<int> owners;  // whose mirror has something else
  for (int rank = 0; rank < size; ++rank) {
    if (all[2 * rank] != all[2 * MirrorOf(rank, size) + 1]) owners.push_back(rank);
  }
  if (owners.empty()) {
    // In a replay these are what they should have been.
    if (step == replay_until_ && divergence_.shards.size() == all.size()) {
      for (int rank = 0; rank < size; ++rank) {
        const bool right = divergence_.shards[2 * rank] == all[2 * rank] &&
                           divergence_.shards[2 * rank + 1] == all[2 * rank + 1];
        if (!right) divergence_.suspects.push_back(rank);
      }
      divergence_.how = "its shards of the optimizer's state were others";
    }
    return true;
  }
  divergence_ = Divergence();
  divergence_.step = step;
  divergence_.last_agreed = agreed_step_;
  divergence_.states.assign(size, 0);
  divergence_.shards = std::move(all);
  divergence_.tensors = {"the optimizer's state"};
  if (communicator_->rank() != 0) return false;
  log->Error(
      absl::StrCat("step ", step, ": of the optimizer's state, shard ", absl::StrJoin(owners, ", "),
                   " is not the same in the two ranks that hold it; it was after step ",
                   std::max<int64_t>(0, agreed_step_),
                   ". Memory or processor of a rank has failed silently; the run goes back to its newest "
                   "checkpoint"));
  JsonLine line;
  line.Integer("step", step).String("event", "diverged");
  line.Integer("last_agreed", std::max<int64_t>(0, agreed_step_));
  line.Integers("outside_majority", {});
  line.String("tensors", "optimizer");
  Record(line.Text(), log);
  return false;
}

}  // namespace lockstep::train
