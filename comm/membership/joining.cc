#include "comm/membership/joining.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "comm/membership/process.h"
#include "runtime/core/clock.h"

namespace lockstep::comm {

Joining::Joining(const Credentials& credentials, const MembershipOptions& options)
    : options_(options), silent_since_(MonotonicSeconds()) {
  const ProcessId self = ThisProcess();
  request_.id = RandomName();
  request_.member.machine = MachineOfThisProcess(options.machine);
  request_.member.pid = self.pid;
  request_.member.pid_began = self.began;
  request_.credentials = credentials;
}

absl::StatusOr<std::unique_ptr<MembershipRecord>> Joining::Look() {
  RETURN_IF_ERROR(FindStart());
  if (!folder_.start().empty()) {
    RETURN_IF_ERROR(Ask());
    const auto refused = ReadSmallFile(folder_.Refused(request_.id));
    if (refused.ok()) return ConfigError(*refused);
    // The answers stop when nobody lives. A new one is due four times a second.
    const auto seen = ReadSmallFile(folder_.Seen(request_.id));
    if (seen.ok() && answer_.See(*seen)) silent_since_ = MonotonicSeconds();
    ASSIGN_OR_RETURN(auto record, FindRecord());
    if (record != nullptr) return record;
  }
  RETURN_IF_ERROR(Silence());
  return nullptr;
}

absl::Status Joining::Silence() const {
  if (MonotonicSeconds() - silent_since_ <= absl::ToDoubleSeconds(options_.patience)) return absl::OkStatus();
  const std::string what = folder_.start().empty()
                               ? absl::StrCat("there is no run to join in ", options_.folder)
                               : absl::StrCat("nobody of the run in ", options_.folder, " answered");
  return PeerError(
      absl::StrCat(what, " within ", absl::FormatDuration(options_.patience), ". Does it still run?"));
}

// The newest start of the run: another one than before, when it was begun again meanwhile.
absl::Status Joining::FindStart() {
  const std::string path = MemberFolder(options_.folder, "").Current();
  const auto current = ReadSmallFile(path);
  if (absl::IsNotFound(current.status())) return absl::OkStatus();
  RETURN_IF_ERROR(current.status());
  const std::string start(absl::StripTrailingAsciiWhitespace(*current));
  if (!IsRandomName(start)) {
    return PeerError(absl::StrCat("membership: ", path, " names no start of a run"));
  }
  if (start == folder_.start()) return absl::OkStatus();
  Withdraw();
  folder_ = MemberFolder(options_.folder, start);
  newest_ = 0;
  for (absl::string_view name : NamesIn(folder_.Root())) {
    uint64_t generation;
    if (absl::ConsumePrefix(&name, "gen-") && absl::SimpleAtoi(name, &generation) &&
        folder_.HasRecord(generation)) {
      newest_ = std::max(newest_, generation);
    }
  }
  return absl::OkStatus();
}

absl::Status Joining::Ask() {
  if (MonotonicSeconds() < next_beat_) return absl::OkStatus();
  next_beat_ = MonotonicSeconds() + absl::ToDoubleSeconds(kBeat);
  ++request_.beat;
  return WriteSmallFile(folder_.Ask(request_.id), ToText(request_));
}

absl::StatusOr<std::unique_ptr<MembershipRecord>> Joining::FindRecord() {
  while (true) {
    auto record = folder_.ReadRecord(newest_ + 1);
    if (absl::IsNotFound(record.status())) return nullptr;
    RETURN_IF_ERROR(record.status());
    ++newest_;
    if (record->RankOf(request_.id) >= 0) return std::make_unique<MembershipRecord>(*std::move(record));
  }
}

void Joining::Withdraw() {
  if (folder_.start().empty()) return;
  for (const std::string& path :
       {folder_.Ask(request_.id), folder_.Seen(request_.id), folder_.Refused(request_.id)}) {
    unlink(path.c_str());
  }
}

}  // namespace lockstep::comm
