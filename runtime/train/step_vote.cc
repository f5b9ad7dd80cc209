#include "runtime/train/step_vote.h"

#include <algorithm>
#include <cstddef>

#include "comm/plan/lane_tree.h"

namespace lockstep::train {

absl::StatusOr<Verdict> Vote(comm::Communicator& communicator, int lanes, int metrics, const Ballot& ballot) {
  // Each lane's numbers have a place of their own that only its owner fills, so the sum over ranks is exact.
  const size_t per_lane = 2 + 2 * static_cast<size_t>(metrics);
  const size_t flags = per_lane * lanes;
  const size_t ranks = communicator.size();
  const size_t checksums = flags + 1 + ranks;  // as halves of 32 bits, which a double holds exactly
  const size_t wishes = checksums + 2 * ranks;
  const size_t norm_sums = wishes + 4;
  std::vector<double> votes(norm_sums + ballot.norm_sums.size(), 0.0);
  std::copy(ballot.norm_sums.begin(), ballot.norm_sums.end(), votes.begin() + norm_sums);
  comm::LaneRange owned;
  if (lanes > 0) owned = comm::LanesOfRank(communicator.rank(), communicator.size(), lanes);
  for (int lane = owned.begin; lane < owned.end; ++lane) {
    const graph::LaneResult& result = ballot.lanes[lane - owned.begin];
    double* out = &votes[per_lane * lane];
    *out++ = result.loss.sum;
    *out++ = result.loss.weight;
    for (const graph::LaneSum& metric : result.metrics) {
      *out++ = metric.sum;
      *out++ = metric.weight;
    }
  }
  if (communicator.rank() == 0) {
    votes[flags] = ballot.checkpoint_due;
    votes[wishes + 1] = ballot.size;
    votes[wishes + 2] = static_cast<double>(ballot.pause);
  }
  votes[flags + 1 + communicator.rank()] = ballot.signal;
  votes[wishes] = ballot.newcomers;
  votes[wishes + 3] = static_cast<double>(ballot.damaged);
  votes[checksums + 2 * communicator.rank()] = static_cast<double>(ballot.checksum >> 32);
  votes[checksums + 2 * communicator.rank() + 1] = static_cast<double>(ballot.checksum & 0xffffffffu);

  const comm::Buffer buffer = comm::BufferOf(absl::MakeSpan(votes));
  RETURN_IF_ERROR(communicator.AllReduce(buffer, buffer, comm::ReduceOp::kSum));

  Verdict verdict;
  verdict.sums.metrics.resize(metrics);
  for (int lane = 0; lane < lanes; ++lane) {
    const double* in = &votes[per_lane * lane];
    verdict.lane_losses.push_back(in[0]);
    verdict.sums.loss.sum += in[0];
    verdict.sums.loss.weight += in[1];
    for (int m = 0; m < metrics; ++m) {
      verdict.sums.metrics[m].sum += in[2 + 2 * m];
      verdict.sums.metrics[m].weight += in[3 + 2 * m];
    }
  }
  verdict.checkpoint_due = votes[flags] != 0;
  verdict.signal = static_cast<int>(*std::max_element(votes.begin() + flags + 1, votes.begin() + checksums));
  verdict.newcomers = votes[wishes] != 0;
  verdict.damaged = static_cast<int64_t>(votes[wishes + 3]);
  verdict.size = static_cast<int>(votes[wishes + 1]);
  verdict.pause = static_cast<PauseWish>(static_cast<int>(votes[wishes + 2]));
  verdict.norm_sums.assign(votes.begin() + norm_sums, votes.end());
  for (size_t rank = 0; rank < ranks; ++rank) {
    const double* halves = &votes[checksums + 2 * rank];
    verdict.checksums.push_back(static_cast<uint64_t>(halves[0]) << 32 | static_cast<uint64_t>(halves[1]));
  }
  return verdict;
}

}  // namespace lockstep::train
