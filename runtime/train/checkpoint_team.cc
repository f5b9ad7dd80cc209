#include "runtime/train/checkpoint_team.h"

#include <random>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "comm/bootstrap.h"
#include "runtime/core/clock.h"
#include "runtime/train/agreement.h"

namespace lockstep::train {
namespace {

constexpr char kCheckName[] = ".shared";
constexpr absl::Duration kLookFor = absl::Seconds(2);  // network file systems show new files late
constexpr absl::Duration kLookAgain = absl::Milliseconds(50);

std::string NewNonce() {
  std::random_device device;
  return absl::StrCat(absl::Hex(device(), absl::kZeroPad8), absl::Hex(device(), absl::kZeroPad8),
                      absl::Hex(device(), absl::kZeroPad8), absl::Hex(device(), absl::kZeroPad8));
}

bool Sees(FileSystem* fs, const std::string& path, const std::string& text) {
  const Deadline deadline = Deadline::After(kLookFor);
  while (true) {
    const auto found = ReadWholeFile(fs, path);
    if (found.ok() && *found == text) return true;
    if (deadline.Passed()) return false;
    absl::SleepFor(kLookAgain);
  }
}

}  // namespace

absl::StatusOr<SaveTeam> FormSaveTeam(comm::Communicator& communicator, FileSystem* fs,
                                      const std::string& run_folder, uint64_t state_bytes,
                                      int64_t shard_bytes, Logger* log) {
  const int rank = communicator.rank(), ranks = communicator.size();
  SaveTeam team;
  team.shard = rank == 0 ? 0 : -1;
  const int shards = ShardsFor(state_bytes, shard_bytes, ranks);
  if (shards == 1) return team;

  const std::string path = JoinPath(run_folder, kCheckName);
  std::string nonce;
  if (rank == 0) {
    nonce = NewNonce();
    const absl::Status put = WriteFileAtomically(fs, path, nonce);
    if (!put.ok()) {  // a full disk, say: the saves will tell, training can begin
      log->Warning(absl::StrCat("rank 0 writes checkpoints alone: ", put.message()));
      nonce.clear();
    }
  }
  ASSIGN_OR_RETURN(nonce, BroadcastText(communicator, nonce));
  if (nonce.empty()) return team;
  ASSIGN_OR_RETURN(const auto seen, comm::AllGatherText(communicator, Sees(fs, path, nonce) ? "yes" : "no"));
  if (rank == 0) (void)fs->Delete(path);
  std::vector<int> blind;
  for (int other = 0; other < ranks; ++other) {
    if (seen[other] != "yes") blind.push_back(other);
  }
  if (!blind.empty()) {
    if (rank == 0) {
      log->Warning(absl::StrCat(
          "rank 0 writes checkpoints alone: ranks ", absl::StrJoin(blind, ", "), " do not see its folder ",
          run_folder, " (put --out on a file system that all machines share, to write in parallel)"));
    }
    return team;
  }
  team.shards = shards;
  team.shard = ShardOfRank(rank, ranks, shards);
  team.nonce = absl::StrCat(nonce, ".", communicator.generation());
  team.meet = [&communicator] { return communicator.Barrier(); };
  team.patience.health = [&communicator] { return communicator.status(); };
  return team;
}

}  // namespace lockstep::train
