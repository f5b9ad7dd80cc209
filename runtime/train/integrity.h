// Silent corruption: memory of one rank that changed by itself, found, healed and laid at a rank's door.
//
// Replicas hold the same bits after every step, so ranks compare fingerprints of all that is replicated every
// k steps and before every checkpoint. Where they differ, wrong parameters may have made wrong gradients, which
// every rank has applied since; so no rank's state is to be trusted, and the run goes back to the newest
// checkpoint (which all agreed on) and does the steps again: each is a pure function, so this ends in the
// calm run's bits. The culprit is named by the majority where there is one, and else by the replay: in the
// first step that goes differently, the lanes whose losses differ are those of the rank that was wrong.
#ifndef LOCKSTEP_RUNTIME_TRAIN_INTEGRITY_H_
#define LOCKSTEP_RUNTIME_TRAIN_INTEGRITY_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "comm/communicator.h"
#include "proto/run_config.pb.h"
#include "runtime/core/file_system.h"
#include "runtime/core/log.h"
#include "runtime/core/status.h"
#include "runtime/train/lane_team.h"
#include "runtime/train/manifest.h"
#include "runtime/train/tensor_store.h"

namespace lockstep::train {

// Continues a 64-bit hash with one more number. Not for secrets.
uint64_t MixHash(uint64_t hash, uint64_t value);

// CRC-32C of every piece of `piece_elements` floats of a buffer, mixed in order: any change of up to 32 bits
// in a row is found for certain, any other with probability 1 - 2^-32. The pieces' CRCs may be made by
// anyone, in any order.
uint32_t PieceChecksum(absl::Span<const float> piece);

struct StateFingerprint {
  uint64_t all_tensors = 0;
  uint64_t whole = 0;             // of all tensors and counters
  std::vector<uint64_t> tensors;  // one each, in the order given
};
// Computed by all members of `team`; the same whatever their number.
StateFingerprint FingerprintState(LaneTeam& team, absl::Span<const NamedBuffer> tensors, int64_t step,
                                  const Counters& counters);

// A collective: every rank's `values`, in rank order. As many on all ranks.
absl::StatusOr<std::vector<uint64_t>> GatherHashes(comm::Communicator& communicator,
                                                   absl::Span<const uint64_t> values);

// A difference between ranks, as every rank knows it.
struct Divergence {
  int64_t step = -1;                    // after which it was found; -1: none
  int64_t last_agreed = -1;             // step of the comparison before, or of the state that was loaded
  bool counters_only = false;           // all tensors are the same
  std::vector<uint64_t> states;         // hashes by rank: of all tensors, or with counters_only of everything
  std::vector<int> suspects;            // ranks outside of a strict majority; empty: there is none
  std::string how = "by the majority";  // suspects are known
  std::vector<uint64_t>
      shards;  // of mirrors that differ: by rank, hashes of its own shard and the mirrored one
  std::vector<std::string> tensors;  // that differ between ranks
};

// Who holds another value than a strict majority; empty when all agree, or nobody has a majority.
std::vector<int> OutsideMajority(absl::Span<const uint64_t> values);

// One object serves a whole session, over all its goings back. For the loop's thread.
class Integrity {
 public:
  // `events_path`: RUN/integrity.jsonl, written by rank 0; "" for none.
  Integrity(const IntegrityConfig& config, comm::Communicator* communicator, int lanes, FileSystem* fs,
            std::string events_path);
  ~Integrity();

  // The membership has changed: from now on over `communicator`, with all states yet to be compared. What was
  // known of a replay under way is forgotten, for it was of other ranks.
  void EnterGeneration(comm::Communicator* communicator, std::string events_path);

  // A world of one has nobody to compare with.
  bool enabled() const;
  bool check_reductions() const;
  // Whether states are to be compared after `step`, and have not been.
  bool Due(int64_t step) const;
  bool HasAgreedOn(int64_t step) const { return agreed_step_ == step; }

  // A collective. Whether all ranks hold the same state after `step`; if not, divergence() says what is known.
  // Logs what it finds, and after a replay whom it was. Error: the communicator's; not once a difference is
  // known, whatever happens while it is explained.
  absl::StatusOr<bool> Compare(LaneTeam& team, absl::Span<const NamedBuffer> tensors, int64_t step,
                               const Counters& counters, Logger* log);
  const Divergence& divergence() const { return divergence_; }
  // The same of a sharded optimizer whose shards have mirrors (state_shards.h): whether every rank holds of its
  // own shard what the rank after it mirrors. To be called before Compare. Without mirrors there is nothing to
  // compare a shard with.
  absl::StatusOr<bool> CompareMirrors(LaneTeam& team, absl::Span<const NamedBuffer> own,
                                      absl::Span<const NamedBuffer> mirrored, int64_t step, Logger* log);

  // The losses of all lanes in `step`, from the vote: kept as witnesses (the last 2^20 of them), and when the
  // step is done again compared with what they were.
  void Witness(int64_t step, absl::Span<const double> lane_losses);

  // The run goes back after a divergence. Error: PeerError when that has been done max_heals times.
  absl::Status BeginReplay();

  // PeerError for a failure that going on with other members does not heal: from now on gave_up().
  absl::Status GiveUp(absl::string_view message);
  bool gave_up() const { return gave_up_; }

  // Whether the reduced gradient is the same everywhere, by the checksums of the vote; logs if it is not.
  bool ReductionsAgree(int64_t step, absl::Span<const uint64_t> checksums, Logger* log);

 private:
  struct LaneLosses {
    int64_t step = 0;
    std::vector<double> losses;
  };

  absl::Status Explain(absl::Span<const NamedBuffer> tensors, const StateFingerprint& own, Logger* log);
  void NameCulprits(const StateFingerprint& truth, Logger* log);
  std::vector<int> OwnersOf(absl::Span<const int> lanes) const;
  void Record(const std::string& line, Logger* log);

  const IntegrityConfig config_;
  comm::Communicator* communicator_;
  const int lanes_;
  FileSystem* const fs_;
  std::string events_path_;

  int64_t agreed_step_ = -1;
  int heals_ = 0;
  bool gave_up_ = false;
  Divergence divergence_;
  int64_t replay_until_ = -1;         // the divergence's step while it is done again
  std::deque<LaneLosses> witnesses_;  // ascending steps
  int64_t first_difference_ = -1;     // step of a replay that went differently
  std::vector<int> different_lanes_;  // in that step
};

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_INTEGRITY_H_
