#include "runtime/train/takeover.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "comm/bootstrap.h"
#include "runtime/core/aligned_buffer.h"
#include "runtime/core/clock.h"
#include "runtime/train/agreement.h"

namespace lockstep::train {
namespace {

size_t TotalBytes(absl::Span<const NamedBuffer> tensors) {
  size_t total = 0;
  for (const NamedBuffer& tensor : tensors) total += tensor.size_bytes();
  return total;
}

// Into memory beside the tensors, and from there when all of it has come.
absl::Status ReceiveAside(comm::Communicator& communicator, absl::Span<const NamedBuffer> tensors,
                          int source) {
  AlignedBuffer<char> aside(TotalBytes(tensors));
  std::vector<NamedBuffer> copies(tensors.begin(), tensors.end());
  char* next = aside.data();
  for (NamedBuffer& copy : copies) {
    copy.data = next;
    next += copy.size_bytes();
  }
  RETURN_IF_ERROR(BroadcastTensors(communicator, copies, source));
  for (size_t i = 0; i < copies.size(); ++i) {
    if (copies[i].size_bytes() > 0) std::memcpy(tensors[i].data, copies[i].data, copies[i].size_bytes());
  }
  return absl::OkStatus();
}

bool IsFewerSteps(const RunPoint& a, const RunPoint& b) { return a.counters.step < b.counters.step; }

}  // namespace

absl::StatusOr<std::vector<RunPoint>> ExchangePoints(comm::Communicator& communicator,
                                                     const RunPoint& point) {
  ASSIGN_OR_RETURN(const auto texts, comm::AllGatherText(communicator, PackPoint(point)));
  std::vector<RunPoint> points(texts.size());
  for (size_t rank = 0; rank < texts.size(); ++rank) {
    if (!UnpackPoint(texts[rank], &points[rank])) {
      return absl::InternalError(absl::StrCat("rank ", rank, " says where it stands in a way unknown here"));
    }
  }
  return points;
}

void AdoptPoint(const RunPoint& furthest, RunPoint* point) {
  const bool is_fresh = point->seconds_here == 0 && point->stage == Stage::kNothing;
  RunPoint taken = furthest;
  taken.seconds = is_fresh ? furthest.seconds : point->seconds;
  taken.seconds_here = point->seconds_here;
  taken.steps_here = point->steps_here;
  taken.last_save = is_fresh ? MonotonicSeconds() : point->last_save;
  *point = std::move(taken);
}

absl::StatusOr<TakeoverReport> ComparePoints(absl::Span<const RunPoint> points) {
  const int ranks = static_cast<int>(points.size());
  TakeoverReport report;
  for (int rank = 1; rank < ranks; ++rank) {
    if (IsFurther(points[rank], points[report.source])) report.source = rank;
  }
  report.diverged = std::any_of(points.begin(), points.end(), [](const RunPoint& p) { return p.diverged; });
  if (report.diverged) return report;
  const RunPoint& furthest = points[report.source];
  if (furthest.stage == Stage::kNothing) {
    return PeerError("nobody who is left holds the state of the run; the newest checkpoint does");
  }
  for (int rank = 0; rank < ranks; ++rank) {
    if (points[rank].stage == Stage::kNothing) {
      report.fresh.push_back(rank);
    } else if (points[rank].counters.step != furthest.counters.step) {
      report.behind.push_back(rank);
    }
  }
  return report;
}

void AdoptDivergence(absl::Span<const RunPoint> points, RunPoint* point) {
  AdoptPoint(*std::max_element(points.begin(), points.end(), IsFewerSteps), point);
  point->stage = Stage::kNothing;
  point->diverged = true;
  point->lost = std::any_of(points.begin(), points.end(), [](const RunPoint& p) { return p.lost; });
}

absl::StatusOr<TakeoverReport> TakeOver(comm::Communicator& communicator,
                                        absl::Span<const NamedBuffer> tensors, RunPoint* point,
                                        FaultPoints* faults) {
  ASSIGN_OR_RETURN(const std::vector<RunPoint> points, ExchangePoints(communicator, *point));
  ASSIGN_OR_RETURN(TakeoverReport report, ComparePoints(points));
  if (report.diverged) {
    AdoptDivergence(points, point);
    return report;
  }
  const RunPoint& furthest = points[report.source];
  const bool is_fresh = point->stage == Stage::kNothing;
  if (!report.fresh.empty() || !report.behind.empty()) {
    RETURN_IF_ERROR(ReachFault(faults, "recovery.transfer"));
    const bool is_behind = !is_fresh && point->counters.step != furthest.counters.step;
    RETURN_IF_ERROR(is_behind ? ReceiveAside(communicator, tensors, report.source)
                              : BroadcastTensors(communicator, tensors, report.source));
  }
  AdoptPoint(furthest, point);
  return report;
}

}  // namespace lockstep::train
