#include "runtime/data/pack_plan.h"

#include <algorithm>
#include <map>
#include <queue>
#include <tuple>

namespace lockstep::data {
namespace {

std::vector<PackedPiece> PiecesOf(absl::Span<const int64_t> lengths, int64_t window) {
  std::vector<PackedPiece> pieces;
  for (size_t document = 0; document < lengths.size(); ++document) {
    for (int64_t first = 0; first < lengths[document]; first += window)
      pieces.push_back({static_cast<int64_t>(document), first, std::min(window, lengths[document] - first)});
  }
  return pieces;
}

bool StandsBefore(const PackedPiece& a, const PackedPiece& b) {
  return std::tie(a.document, a.first) < std::tie(b.document, b.first);
}

}  // namespace

PackPlan PlanPacks(absl::Span<const int64_t> lengths, int64_t window) {
  std::vector<PackedPiece> pieces = PiecesOf(lengths, window);
  std::stable_sort(pieces.begin(), pieces.end(),
                   [](const PackedPiece& a, const PackedPiece& b) { return a.length > b.length; });
  std::vector<std::vector<PackedPiece>> windows;
  // By the room that is left: the windows that have it, the oldest on top.
  using Oldest = std::priority_queue<size_t, std::vector<size_t>, std::greater<>>;
  std::map<int64_t, Oldest> by_room;
  for (const PackedPiece& piece : pieces) {
    size_t at = windows.size();
    int64_t room = window;
    const auto fits = by_room.lower_bound(piece.length);
    if (fits == by_room.end()) {
      windows.emplace_back();
    } else {
      room = fits->first;
      at = fits->second.top();
      fits->second.pop();
      if (fits->second.empty()) by_room.erase(fits);
    }
    windows[at].push_back(piece);
    if (room > piece.length) by_room[room - piece.length].push(at);
  }
  for (auto& held : windows) std::sort(held.begin(), held.end(), StandsBefore);
  std::sort(windows.begin(), windows.end(),
            [](const auto& a, const auto& b) { return StandsBefore(a.front(), b.front()); });
  PackPlan plan;
  for (const auto& held : windows) {
    plan.pieces.insert(plan.pieces.end(), held.begin(), held.end());
    plan.ends.push_back(plan.pieces.size());
  }
  return plan;
}

}  // namespace lockstep::data
