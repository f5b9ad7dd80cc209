#include "runtime/graph/memory_plan.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "runtime/core/aligned_buffer.h"

namespace lockstep::graph {
namespace {

// An empty buffer gets a place of its own too, so that no two tensors share an address.
size_t Padded(const BufferLife& buffer) {
  return RoundUp(std::max<size_t>(buffer.size_bytes, 1), kAlignmentBytes);
}

bool LiveTogether(const BufferLife& a, const BufferLife& b) { return a.first <= b.last && b.first <= a.last; }

// The smallest gap of at least `size` between `taken` (sorted by offset), or the end of them.
size_t BestGap(const std::vector<std::pair<size_t, size_t>>& taken, size_t size) {
  size_t best = std::numeric_limits<size_t>::max(), best_size = best, end = 0;
  for (const auto& [begin, stop] : taken) {
    if (begin > end && begin - end >= size && begin - end < best_size) {
      best = end;
      best_size = begin - end;
    }
    end = std::max(end, stop);
  }
  return best_size == std::numeric_limits<size_t>::max() ? end : best;
}

size_t Peak(absl::Span<const BufferLife> buffers) {
  std::vector<std::pair<int, int64_t>> changes;  // step, bytes that begin (+) or have ended (-)
  for (const BufferLife& buffer : buffers) {
    changes.push_back({buffer.first, static_cast<int64_t>(Padded(buffer))});
    changes.push_back({buffer.last + 1, -static_cast<int64_t>(Padded(buffer))});
  }
  std::sort(changes.begin(), changes.end());  // at one step, ends come before begins
  int64_t live = 0, peak = 0;
  for (const auto& [step, bytes] : changes) {
    live += bytes;
    peak = std::max(peak, live);
  }
  return static_cast<size_t>(peak);
}

}  // namespace

MemoryPlan PlanMemory(absl::Span<const BufferLife> buffers) {
  MemoryPlan plan;
  plan.offsets_bytes.resize(buffers.size());
  plan.peak_bytes = Peak(buffers);
  std::vector<size_t> order(buffers.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return Padded(buffers[a]) > Padded(buffers[b]); });
  std::vector<size_t> placed;
  for (size_t i : order) {
    std::vector<std::pair<size_t, size_t>> taken;
    for (size_t other : placed) {
      if (!LiveTogether(buffers[i], buffers[other])) continue;
      taken.push_back({plan.offsets_bytes[other], plan.offsets_bytes[other] + Padded(buffers[other])});
    }
    std::sort(taken.begin(), taken.end());
    const size_t size = Padded(buffers[i]);
    plan.offsets_bytes[i] = BestGap(taken, size);
    plan.arena_bytes = std::max(plan.arena_bytes, plan.offsets_bytes[i] + size);
    plan.naive_bytes += size;
    placed.push_back(i);
  }
  return plan;
}

absl::Status CheckMemoryPlan(absl::Span<const BufferLife> buffers, const MemoryPlan& plan) {
  if (plan.offsets_bytes.size() != buffers.size())
    return absl::InternalError("memory plan: a buffer has no place");
  for (size_t i = 0; i < buffers.size(); ++i) {
    const size_t begin = plan.offsets_bytes[i], end = begin + buffers[i].size_bytes;
    if (begin % kAlignmentBytes != 0 || end > plan.arena_bytes) {
      return absl::InternalError(
          absl::StrCat("memory plan: buffer ", i, " at ", begin, " is misaligned or outside"));
    }
    for (size_t j = 0; j < i; ++j) {
      const size_t other_begin = plan.offsets_bytes[j], other_end = other_begin + buffers[j].size_bytes;
      if (LiveTogether(buffers[i], buffers[j]) && begin < other_end && other_begin < end) {
        return absl::InternalError(
            absl::StrCat("memory plan: buffers ", j, " and ", i, " overlap while both live"));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace lockstep::graph
