#include "runtime/train/agreement.h"

#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "comm/bootstrap.h"

namespace lockstep::train {
namespace {

// "" for OK, else "<trouble> <message>".
std::string Encode(const absl::Status& status) {
  return status.ok() ? "" : absl::StrCat(static_cast<int>(TroubleOf(status)), " ", status.message());
}

absl::Status Decode(absl::string_view text, int rank) {
  const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(text, absl::MaxSplits(' ', 1));
  int trouble = 0;
  (void)absl::SimpleAtoi(parts.first, &trouble);
  const std::string message = absl::StrCat("rank ", rank, ": ", parts.second);
  switch (static_cast<Trouble>(trouble)) {
    case Trouble::kConfig:
      return ConfigError(message);
    case Trouble::kData:
      return DataError(message);
    case Trouble::kPeer:
      return PeerError(message);
    case Trouble::kCheckpoint:
      return CheckpointError(message);
    case Trouble::kNumerics:
      return NumericsError(message);
    default:
      return absl::InternalError(message);
  }
}

}  // namespace

absl::Status AgreeOnStatus(comm::Communicator& communicator, const absl::Status& status) {
  if (communicator.size() == 1) return status;
  auto texts = comm::AllGatherText(communicator, Encode(status));
  if (!texts.ok()) return status.ok() ? texts.status() : status;
  for (int rank = 0; rank < communicator.size(); ++rank) {
    if (!(*texts)[rank].empty()) return rank == communicator.rank() ? status : Decode((*texts)[rank], rank);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> BroadcastText(comm::Communicator& communicator, absl::string_view text) {
  int64_t size = communicator.rank() == 0 ? static_cast<int64_t>(text.size()) : 0;
  RETURN_IF_ERROR(communicator.Broadcast(comm::BufferOf(absl::MakeSpan(&size, 1)), 0));
  std::string bytes(communicator.rank() == 0 ? text : absl::string_view());
  bytes.resize(static_cast<size_t>(size));
  auto* data = reinterpret_cast<uint8_t*>(bytes.data());
  RETURN_IF_ERROR(communicator.Broadcast(comm::BufferOf(absl::MakeSpan(data, bytes.size())), 0));
  return bytes;
}

absl::Status BroadcastTensors(comm::Communicator& communicator, absl::Span<const NamedBuffer> tensors,
                              int root) {
  for (const NamedBuffer& tensor : tensors) {
    const auto bytes = absl::MakeSpan(static_cast<uint8_t*>(tensor.data), tensor.size_bytes());
    RETURN_IF_ERROR(communicator.Broadcast(comm::BufferOf(bytes), root));
  }
  return absl::OkStatus();
}

}  // namespace lockstep::train
