#include "runtime/train/shard_transfer.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "runtime/core/aligned_buffer.h"

namespace lockstep::train {
namespace {

// Walks along the ranges of one rank.
class Walker {
 public:
  explicit Walker(const ElementRanges& ranges) : next_(ranges.data()), end_(ranges.data() + ranges.size()) {}
  // Whether `at` is covered; positions must ascend.
  bool Covers(int64_t at) {
    while (next_ != end_ && next_->end <= at) ++next_;
    return next_ != end_ && next_->begin <= at;
  }

 private:
  const ElementRange* next_;
  const ElementRange* end_;
};

void Extend(ElementRange range, ElementRanges* ranges) {
  if (!ranges->empty() && ranges->back().end == range.begin) {
    ranges->back().end = range.end;
  } else {
    ranges->push_back(range);
  }
}

ElementRanges Within(const ElementRanges& ranges, ElementRange window) {
  ElementRanges inside;
  for (const ElementRange& range : ranges) {
    const ElementRange cut = {std::max(range.begin, window.begin), std::min(range.end, window.end)};
    if (cut.size() > 0) inside.push_back(cut);
  }
  return inside;
}

// What one rank packs, or unpacks: of each peer in turn, in the order of the plan.
std::vector<size_t> CountsOf(const std::vector<Transfer>& transfers, int rank, int size, bool sent) {
  std::vector<size_t> counts(static_cast<size_t>(size));
  for (const Transfer& transfer : transfers) {
    if ((sent ? transfer.from : transfer.to) != rank) continue;
    counts[sent ? transfer.to : transfer.from] += static_cast<size_t>(transfer.range.size());
  }
  return counts;
}

size_t SumOf(const std::vector<size_t>& counts) {
  size_t sum = 0;
  for (const size_t count : counts) sum += count;
  return sum;
}

absl::Status MoveWindow(comm::Communicator& communicator, const std::vector<Transfer>& transfers,
                        const ReadRange& read, const WriteRange& write) {
  const int rank = communicator.rank(), size = communicator.size();
  const std::vector<size_t> sends = CountsOf(transfers, rank, size, /*sent=*/true);
  const std::vector<size_t> receives = CountsOf(transfers, rank, size, /*sent=*/false);
  AlignedBuffer<float> packed(SumOf(sends)), arrived(SumOf(receives));
  float* next = packed.data();
  for (int peer = 0; peer < size; ++peer) {
    for (const Transfer& transfer : transfers) {
      if (transfer.from != rank || transfer.to != peer) continue;
      read(transfer.range, next);
      next += transfer.range.size();
    }
  }
  const bool stays = std::all_of(transfers.begin(), transfers.end(),
                                 [](const Transfer& transfer) { return transfer.from == transfer.to; });
  if (!stays) {
    RETURN_IF_ERROR(communicator.AllToAllV(comm::BufferOf(absl::MakeConstSpan(packed.span())), sends,
                                           comm::BufferOf(arrived.span()), receives));
  }
  const float* from = stays ? packed.data() : arrived.data();
  for (int peer = 0; peer < size; ++peer) {
    for (const Transfer& transfer : transfers) {
      if (transfer.to != rank || transfer.from != peer) continue;
      write(transfer.range, from);
      from += transfer.range.size();
    }
  }
  return absl::OkStatus();
}

}  // namespace

TransferPlan PlanTransfers(absl::Span<const ElementRanges> holds, absl::Span<const ElementRanges> needs) {
  std::vector<int64_t> cuts;
  for (const auto& lists : {holds, needs}) {
    for (const ElementRanges& ranges : lists) {
      for (const ElementRange& range : ranges) cuts.insert(cuts.end(), {range.begin, range.end});
    }
  }
  std::sort(cuts.begin(), cuts.end());
  cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
  std::vector<Walker> held(holds.begin(), holds.end()), needed(needs.begin(), needs.end());
  const int ranks = static_cast<int>(holds.size());
  TransferPlan plan;
  std::vector<size_t> newest(static_cast<size_t>(ranks), SIZE_MAX);  // by receiver: its last transfer
  std::vector<int> holders;
  for (size_t i = 0; i + 1 < cuts.size(); ++i) {
    const ElementRange range = {cuts[i], cuts[i + 1]};
    holders.clear();
    for (int rank = 0; rank < ranks; ++rank) {
      if (held[rank].Covers(range.begin)) holders.push_back(rank);
    }
    for (int to = 0; to < ranks; ++to) {
      if (!needed[to].Covers(range.begin)) continue;
      if (holders.empty()) {
        Extend(range, &plan.missing);
        break;
      }
      const bool has = std::find(holders.begin(), holders.end(), to) != holders.end();
      const int from = has ? to : holders[static_cast<size_t>(to) % holders.size()];
      if (newest[to] < plan.transfers.size()) {
        Transfer& before = plan.transfers[newest[to]];
        if (before.from == from && before.range.end == range.begin) {
          before.range.end = range.end;
          continue;
        }
      }
      newest[to] = plan.transfers.size();
      plan.transfers.push_back({from, to, range});
    }
  }
  return plan;
}

absl::Status MoveRanges(comm::Communicator& communicator, absl::Span<const ElementRanges> holds,
                        absl::Span<const ElementRanges> needs, absl::Span<const ElementRange> windows,
                        const ReadRange& read, const WriteRange& write) {
  for (const ElementRange& window : windows) {
    std::vector<ElementRanges> held, needed;
    for (const ElementRanges& ranges : holds) held.push_back(Within(ranges, window));
    for (const ElementRanges& ranges : needs) needed.push_back(Within(ranges, window));
    const TransferPlan plan = PlanTransfers(held, needed);
    if (!plan.missing.empty()) {
      return absl::InternalError(absl::StrCat("no rank holds the elements ", plan.missing[0].begin, " to ",
                                              plan.missing[0].end, " of the optimizer's state"));
    }
    if (!plan.transfers.empty()) RETURN_IF_ERROR(MoveWindow(communicator, plan.transfers, read, write));
    communicator.NoteProgress();
  }
  return absl::OkStatus();
}

}  // namespace lockstep::train
