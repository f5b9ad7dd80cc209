#include "runtime/train/integrity.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "comm/plan/lane_tree.h"
#include "runtime/core/hash.h"
#include "runtime/train/json_line.h"
#include "runtime/train/line_log.h"

namespace lockstep::train {
namespace {

constexpr size_t kPieceBytes = size_t{256} << 10;
constexpr size_t kMostWitnesses = size_t{1} << 20;  // lane losses, 8 MiB

uint64_t BitsOf(double value) {
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

struct Piece {
  size_t tensor = 0;
  const uint8_t* data = nullptr;
  size_t size_bytes = 0;
  uint32_t crc = 0;
};

std::vector<Piece> PiecesOf(absl::Span<const NamedBuffer> tensors) {
  std::vector<Piece> pieces;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const size_t size_bytes = tensors[i].size_bytes();
    for (size_t begin = 0; begin < size_bytes; begin += kPieceBytes) {
      pieces.push_back({i, static_cast<const uint8_t*>(tensors[i].data) + begin,
                        std::min(kPieceBytes, size_bytes - begin)});
    }
  }
  return pieces;
}

uint64_t HashCounters(uint64_t hash, const Counters& counters) {
  for (const auto& [name, value] : counters) {
    hash = MixHash(hash, Crc32c(0, name.data(), name.size()));
    if (const auto* integer = std::get_if<int64_t>(&value))
      hash = MixHash(hash, static_cast<uint64_t>(*integer));
    if (const auto* number = std::get_if<double>(&value)) hash = MixHash(hash, BitsOf(*number));
    if (const auto* bytes = std::get_if<std::string>(&value))
      hash = MixHash(hash, Crc32c(0, bytes->data(), bytes->size()));
  }
  return hash;
}

bool AllSame(absl::Span<const uint64_t> values) {
  return std::adjacent_find(values.begin(), values.end(), std::not_equal_to<>()) == values.end();
}

std::string RankList(absl::Span<const int> ranks) {
  return absl::StrCat(ranks.size() == 1 ? "rank " : "ranks ", absl::StrJoin(ranks, ", "));
}

// The first few of many.
std::string Few(absl::Span<const std::string> names) {
  constexpr size_t kShown = 8;
  const std::string shown = absl::StrJoin(names.subspan(0, kShown), ", ");
  return names.size() <= kShown ? shown : absl::StrCat(shown, " and ", names.size() - kShown, " more");
}

std::vector<int64_t> Wide(absl::Span<const int> numbers) { return {numbers.begin(), numbers.end()}; }

}  // namespace

absl::StatusOr<std::vector<uint64_t>> GatherHashes(comm::Communicator& communicator,
                                                   absl::Span<const uint64_t> values) {
  std::vector<uint64_t> all(values.size() * communicator.size());
  RETURN_IF_ERROR(communicator.AllGather(comm::BufferOf(values), comm::BufferOf(absl::MakeSpan(all))));
  return all;
}

uint64_t MixHash(uint64_t hash, uint64_t value) {
  // The finisher of SplitMix64 (Steele, Lea, Flood, 2014) over a state that the value moves.
  uint64_t x = hash * 0x9e3779b97f4a7c15u + value + 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

uint32_t PieceChecksum(absl::Span<const float> piece) {
  return Crc32c(0, piece.data(), piece.size() * sizeof(float));
}

StateFingerprint FingerprintState(LaneTeam& team, absl::Span<const NamedBuffer> tensors, int64_t step,
                                  const Counters& counters) {
  std::vector<Piece> pieces = PiecesOf(tensors);
  team.Run([&](int member) {
    for (size_t i = member; i < pieces.size(); i += team.size()) {
      pieces[i].crc = Crc32c(0, pieces[i].data, pieces[i].size_bytes);
    }
  });
  StateFingerprint fingerprint;
  fingerprint.tensors.assign(tensors.size(), 0);
  for (const Piece& piece : pieces) {
    fingerprint.tensors[piece.tensor] = MixHash(fingerprint.tensors[piece.tensor], piece.crc);
  }
  for (const uint64_t tensor : fingerprint.tensors)
    fingerprint.all_tensors = MixHash(fingerprint.all_tensors, tensor);
  fingerprint.whole = HashCounters(MixHash(fingerprint.all_tensors, static_cast<uint64_t>(step)), counters);
  return fingerprint;
}

std::vector<int> OutsideMajority(absl::Span<const uint64_t> values) {
  std::map<uint64_t, size_t> votes;
  for (const uint64_t value : values) ++votes[value];
  std::vector<int> outside;
  for (const auto& [value, count] : votes) {
    if (2 * count <= values.size()) continue;
    for (size_t rank = 0; rank < values.size(); ++rank) {
      if (values[rank] != value) outside.push_back(static_cast<int>(rank));
    }
  }
  return outside;
}

Integrity::Integrity(const IntegrityConfig& config, comm::Communicator* communicator, int lanes,
                     FileSystem* fs, std::string events_path)
    : config_(config),
      communicator_(communicator),
      lanes_(lanes),
      fs_(fs),
      events_path_(std::move(events_path)) {}

Integrity::~Integrity() = default;

void Integrity::EnterGeneration(comm::Communicator* communicator, std::string events_path) {
  communicator_ = communicator;
  events_path_ = std::move(events_path);
  agreed_step_ = -1;
  divergence_ = Divergence();
  replay_until_ = -1;
  first_difference_ = -1;
  different_lanes_.clear();
  witnesses_.clear();  // lanes have other owners now
}

bool Integrity::enabled() const { return communicator_->size() > 1 && config_.every_steps() > 0; }

bool Integrity::check_reductions() const { return communicator_->size() > 1 && config_.check_reductions(); }

bool Integrity::Due(int64_t step) const {
  if (!enabled() || agreed_step_ == step) return false;
  return step % config_.every_steps() == 0 || step == replay_until_;
}

absl::StatusOr<bool> Integrity::Compare(LaneTeam& team, absl::Span<const NamedBuffer> tensors, int64_t step,
                                        const Counters& counters, Logger* log) {
  const StateFingerprint own = FingerprintState(team, tensors, step, counters);
  const uint64_t hashes[] = {own.all_tensors, own.whole};
  ASSIGN_OR_RETURN(const std::vector<uint64_t> both, GatherHashes(*communicator_, hashes));
  std::vector<uint64_t> tensor_hashes, whole;
  for (size_t i = 0; i < both.size(); i += 2) {
    tensor_hashes.push_back(both[i]);
    whole.push_back(both[i + 1]);
  }
  if (AllSame(whole)) {
    if (step == replay_until_) {
      NameCulprits(own, log);
      replay_until_ = -1;
    }
    agreed_step_ = step;
    return true;
  }
  divergence_ = Divergence();
  divergence_.step = step;
  divergence_.last_agreed = agreed_step_;
  divergence_.counters_only = AllSame(tensor_hashes);
  // Counters may have followed wrong tensors on every rank (the best validation, say): tensors tell more.
  divergence_.states = divergence_.counters_only ? std::move(whole) : std::move(tensor_hashes);
  divergence_.suspects = OutsideMajority(divergence_.states);
  // All know now that states differ, and that must not be forgotten because a rank dies here; its death is met
  // by the next collective.
  (void)Explain(tensors, own, log);
  return false;
}

absl::Status Integrity::Explain(absl::Span<const NamedBuffer> tensors, const StateFingerprint& own,
                                Logger* log) {
  ASSIGN_OR_RETURN(const std::vector<uint64_t> all, GatherHashes(*communicator_, own.tensors));
  for (size_t i = 0; i < tensors.size(); ++i) {
    for (int rank = 1; rank < communicator_->size(); ++rank) {
      if (all[rank * tensors.size() + i] == all[i]) continue;
      divergence_.tensors.push_back(tensors[i].name);
      break;
    }
  }
  if (divergence_.tensors.empty()) divergence_.tensors.push_back("the counters");
  if (communicator_->rank() != 0) return absl::OkStatus();
  log->Error(absl::StrCat(
      "step ", divergence_.step, ": the ranks' states differ in ", Few(divergence_.tensors),
      "; they were the same after step ", std::max<int64_t>(0, divergence_.last_agreed),
      divergence_.suspects.empty() ? "; no majority" : "; outside of the majority: ",
      divergence_.suspects.empty() ? "" : RankList(divergence_.suspects),
      ". Memory or processor of a rank has failed silently; the run goes back to its newest checkpoint"));
  JsonLine line;
  line.Integer("step", divergence_.step).String("event", "diverged");
  line.Integer("last_agreed", std::max<int64_t>(0, divergence_.last_agreed));
  line.Integers("outside_majority", Wide(divergence_.suspects));
  line.String("tensors", absl::StrJoin(divergence_.tensors, " "));
  Record(line.Text(), log);
  return absl::OkStatus();
}

void Integrity::NameCulprits(const StateFingerprint& truth, Logger* log) {
  std::vector<int> culprits = divergence_.suspects;
  std::string how = divergence_.how;
  if (culprits.empty() && first_difference_ >= 0) {
    how = absl::StrCat("the losses of step ", first_difference_, " were others in its lanes ",
                       absl::StrJoin(different_lanes_, ", "));
    culprits = OwnersOf(different_lanes_);
  } else if (culprits.empty()) {  // no gradient was spoilt, so the good ranks' state of then is that of now
    how = "the others ended in this same state";
    const uint64_t hash = divergence_.counters_only ? truth.whole : truth.all_tensors;
    for (int rank = 0; rank < communicator_->size(); ++rank) {
      if (divergence_.states[rank] != hash) culprits.push_back(rank);
    }
  }
  if (communicator_->rank() != 0) return;
  log->Warning(absl::StrCat("step ", divergence_.step, " done again: all ranks hold the same state. ",
                            RankList(culprits), " had been wrong (", how,
                            "); if that happens again, replace the machine"));
  JsonLine line;
  line.Integer("step", divergence_.step).String("event", "healed").Integers("culprits", Wide(culprits));
  Record(line.Text(), log);
}

std::vector<int> Integrity::OwnersOf(absl::Span<const int> lanes) const {
  std::vector<int> owners;
  for (int rank = 0; rank < communicator_->size(); ++rank) {
    const comm::LaneRange owned = comm::LanesOfRank(rank, communicator_->size(), lanes_);
    if (std::any_of(lanes.begin(), lanes.end(),
                    [&](int lane) { return lane >= owned.begin && lane < owned.end; })) {
      owners.push_back(rank);
    }
  }
  return owners;
}

void Integrity::Witness(int64_t step, absl::Span<const double> lane_losses) {
  if (!enabled()) return;
  const auto record = std::lower_bound(witnesses_.begin(), witnesses_.end(), step,
                                       [](const LaneLosses& w, int64_t s) { return w.step < s; });
  if (record == witnesses_.end() || record->step != step) {
    witnesses_.insert(record, {step, {lane_losses.begin(), lane_losses.end()}});
    if (witnesses_.size() * lane_losses.size() > kMostWitnesses) witnesses_.pop_front();
    return;
  }
  for (size_t lane = 0; lane < lane_losses.size(); ++lane) {
    const bool same = BitsOf(record->losses[lane]) == BitsOf(lane_losses[lane]);
    if (same || (first_difference_ >= 0 && first_difference_ != step)) continue;
    first_difference_ = step;
    different_lanes_.push_back(static_cast<int>(lane));
  }
  record->losses.assign(lane_losses.begin(), lane_losses.end());
}

absl::Status Integrity::BeginReplay() {
  if (++heals_ > config_.max_heals()) {
    return PeerError(absl::StrCat(
        "step ", divergence_.step, ": the ranks' states differ for the ", heals_,
        "th time (execution.integrity.max_heals: ", config_.max_heals(), ")",
        divergence_.suspects.empty() ? "" : absl::StrCat("; ", RankList(divergence_.suspects), " is wrong"),
        "; replace the machine that the log names"));
  }
  replay_until_ = divergence_.step;
  agreed_step_ = -1;
  first_difference_ = -1;
  different_lanes_.clear();
  return absl::OkStatus();
}

absl::Status Integrity::GiveUp(absl::string_view message) {
  gave_up_ = true;
  return PeerError(message);
}

bool Integrity::ReductionsAgree(int64_t step, absl::Span<const uint64_t> checksums, Logger* log) {
  if (AllSame(checksums)) return true;
  const std::vector<int> outside = OutsideMajority(checksums);
  if (communicator_->rank() != 0) return false;
  log->Warning(
      absl::StrCat("step ", step, ": the ranks hold different reduced gradients",
                   outside.empty() ? "" : absl::StrCat("; outside of the majority: ", RankList(outside)),
                   "; nothing was applied, and the step is done again"));
  JsonLine line;
  line.Integer("step", step).String("event", "reduction").Integers("outside_majority", Wide(outside));
  Record(line.Text(), log);
  return false;
}

void Integrity::Record(const std::string& line, Logger* log) {
  if (events_path_.empty()) return;
  auto file = LineLog::Open(fs_, events_path_);
  absl::Status status = file.status();
  if (status.ok()) status = (*file)->Append(line);
  if (status.ok()) status = (*file)->Sync();
  if (!status.ok()) log->Warning(absl::StrCat(events_path_, ": ", status.message()));
}

}  // namespace lockstep::train
