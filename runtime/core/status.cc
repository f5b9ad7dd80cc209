#include "runtime/core/status.h"

#include <cstring>
#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"

namespace lockstep {
namespace {

constexpr char kTroubleUrl[] = "lockstep/trouble";

absl::Status Make(absl::StatusCode code, Trouble trouble, absl::string_view message) {
  absl::Status status(code, message);
  status.SetPayload(kTroubleUrl, absl::Cord(absl::StrCat(static_cast<int>(trouble))));
  return status;
}

}  // namespace

absl::Status ConfigError(absl::string_view message) {
  return Make(absl::StatusCode::kInvalidArgument, Trouble::kConfig, message);
}
absl::Status DataError(absl::string_view message) {
  return Make(absl::StatusCode::kDataLoss, Trouble::kData, message);
}
absl::Status SourceError(absl::string_view message) {
  return Make(absl::StatusCode::kUnavailable, Trouble::kData, message);
}
absl::Status PeerError(absl::string_view message) {
  return Make(absl::StatusCode::kUnavailable, Trouble::kPeer, message);
}
absl::Status DeadlineError(absl::string_view message) {
  return Make(absl::StatusCode::kDeadlineExceeded, Trouble::kPeer, message);
}
absl::Status CheckpointError(absl::string_view message) {
  return Make(absl::StatusCode::kFailedPrecondition, Trouble::kCheckpoint, message);
}
absl::Status NumericsError(absl::string_view message) {
  return Make(absl::StatusCode::kOutOfRange, Trouble::kNumerics, message);
}

Trouble TroubleOf(const absl::Status& status) {
  if (status.ok()) return Trouble::kNone;
  auto payload = status.GetPayload(kTroubleUrl);
  int value = 0;
  if (payload && absl::SimpleAtoi(std::string(*payload), &value)) return static_cast<Trouble>(value);
  return Trouble::kInternal;
}

int ExitCodeOf(const absl::Status& status) { return static_cast<int>(TroubleOf(status)); }

absl::Status Annotate(const absl::Status& status, absl::string_view context) {
  if (status.ok()) return status;
  absl::Status annotated(status.code(), absl::StrCat(context, ": ", status.message()));
  status.ForEachPayload(
      [&](absl::string_view url, const absl::Cord& payload) { annotated.SetPayload(url, payload); });
  return annotated;
}

std::string ErrnoText(absl::string_view what, int error) {
  char buffer[256];
  return absl::StrCat(what, ": ", strerror_r(error, buffer, sizeof buffer));
}

}  // namespace lockstep
