#include "comm/membership/regroup.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "runtime/core/clock.h"

namespace lockstep::comm {
namespace {

// Between looks at the files of all members, of which each looks at all.
constexpr absl::Duration kPause = absl::Milliseconds(5), kPauseEach = absl::Microseconds(250);

}  // namespace

absl::Status CheckStart(const MemberFolder& folder) {
  const auto current = ReadSmallFile(folder.Current());
  if (absl::IsNotFound(current.status())) {
    return PeerError(absl::StrCat("voted out: ", folder.Current(),
                                  " is gone; the run was ended or cleared while this rank stood still"));
  }
  RETURN_IF_ERROR(current.status());
  if (absl::StripTrailingAsciiWhitespace(*current) == folder.start()) return absl::OkStatus();
  return PeerError("voted out: a later start of this run has taken over");
}

Regrouping::Regrouping(const RegroupOptions& options, const MembershipRecord& ending, RegroupRequest request,
                       std::vector<int> suspects)
    : options_(options),
      ending_(ending),
      request_(std::move(request)),
      suspects_(std::move(suspects)),
      next_(ending.generation + 1),
      seen_(ending.members.size()),
      silence_(Deadline::After(options.settle)),
      patience_(Deadline::After(options.patience)) {}

absl::Status Regrouping::Come() {
  RETURN_IF_ERROR(CheckStart(options_.folder));
  const absl::Status made = MakeFolder(options_.folder.Generation(next_));
  if (!made.ok()) return PeerError(made.message());
  Presence presence;
  presence.suspects = suspects_;
  presence.leaving = request_.leaving;
  presence.rank = ending_.RankOf(options_.number);
  presence.reason = std::string(request_.reason.message());
  return WriteSmallFile(options_.folder.Present(next_, options_.number), ToText(presence));
}

// Reads what has changed.
void Regrouping::Look() {
  for (size_t rank = 0; rank < seen_.size(); ++rank) {
    const int number = ending_.members[rank].number;
    Seen& seen = seen_[rank];
    if (!seen.came) {
      const auto text = ReadSmallFile(options_.folder.Present(next_, number));
      auto presence = text.ok() ? PresenceFromText(*text) : text.status();
      seen.came = presence.ok();
      if (seen.came) seen.presence = *std::move(presence);
    }
    const auto alive = ReadSmallFile(options_.folder.Alive(next_, number));
    if (alive.ok() || seen.came) seen.sign.See(absl::StrCat(seen.came, " ", alive.value_or("")));
  }
}

std::string Regrouping::WhyNotAwaited(size_t rank) {
  const Member& member = ending_.members[rank];
  Seen& seen = seen_[rank];
  if (member.number == options_.number) return "";
  if (access(options_.folder.Left(member.number).c_str(), F_OK) == 0) return "it had left the run";
  ProcessState state = ProcessState::kUnknown;
  if (member.machine == options_.machine) state = StateOf({member.pid, member.pid_began});
  if (state == ProcessState::kGone) return "its process had ended";
  // On this machine, whoever runs lives, however seldom it gets to show it.
  const bool silent =
      state != ProcessState::kLives && silence_.Passed() && seen.sign.Age() > options_.settle + 2 * kBeat;
  if (silent && state == ProcessState::kStopped) return "its process was stopped";
  if (silent) return absl::StrCat("it showed no sign of life for ", absl::FormatDuration(options_.settle));
  if (!seen.came && patience_.Passed()) {
    return absl::StrCat("it lived, but did not come within ", absl::FormatDuration(options_.patience));
  }
  return "";
}

Candidate Regrouping::Judge(size_t rank) {
  Candidate candidate;
  candidate.member = ending_.members[rank];
  candidate.why_not = WhyNotAwaited(rank);
  candidate.leaving = seen_[rank].came && seen_[rank].presence.leaving;
  candidate.present = seen_[rank].came && candidate.why_not.empty();
  candidate.suspects = seen_[rank].presence.suspects;
  return candidate;
}

// True when there is a record now, of whomever.
absl::StatusOr<bool> Regrouping::Claim(const std::vector<Candidate>& candidates) {
  MembershipRecord record =
      NextRecord(next_, candidates, request_.size, options_.newcomers(), options_.most, ending_.next_number);
  if (record.members.empty()) return false;
  record.reason = request_.reason.ok() ? "a change on purpose"
                                       : absl::StrCat("rank ", ending_.RankOf(options_.number), ": ",
                                                      request_.reason.message());
  const absl::Status claimed = ClaimFile(options_.folder.Record(next_), ToText(record));
  if (claimed.ok() || absl::IsAlreadyExists(claimed)) return true;
  return claimed;
}

absl::StatusOr<MembershipRecord> Regrouping::Run() {
  const int members = static_cast<int>(seen_.size());
  const Deadline limit =
      Deadline::After(2 * options_.patience + (members + 1) * (options_.settle + 2 * kBeat));
  if (!options_.folder.HasRecord(next_)) RETURN_IF_ERROR(Come());
  double settled_at = -1;  // since when all are known to come or not
  while (true) {
    auto record = options_.folder.ReadRecord(next_);
    if (record.ok() || !absl::IsNotFound(record.status())) return record;
    if (limit.Passed()) {
      return PeerError(absl::StrCat("nobody formed generation ", next_, " in time; see ",
                                    options_.folder.Generation(next_)));
    }
    Look();
    std::vector<Candidate> candidates;
    bool settled = true;
    int before = 0;  // present ones whose turn is earlier
    for (int rank = 0; rank < members; ++rank) {
      candidates.push_back(Judge(rank));
      const Candidate& one = candidates.back();
      if (!one.present && one.why_not.empty()) settled = false;
      if (one.present && !one.leaving && rank < ending_.RankOf(options_.number)) ++before;
    }
    if (!settled) settled_at = -1;
    if (settled && settled_at < 0) settled_at = MonotonicSeconds();
    const bool alone = std::none_of(candidates.begin(), candidates.end(),
                                    [](const Candidate& one) { return one.present && !one.leaving; });
    // The others go as well, or are gone: there is nobody to wait for.
    if (settled && request_.leaving && alone) return NextRecord(next_, candidates, 0, {}, 0, 0);
    const bool turn =
        settled && !request_.leaving &&
        MonotonicSeconds() - settled_at >= before * absl::ToDoubleSeconds(options_.settle + 2 * kBeat);
    if (turn) {
      RETURN_IF_ERROR(CheckStart(options_.folder));
      ASSIGN_OR_RETURN(const bool claimed, Claim(candidates));
      if (claimed) continue;
    }
    absl::SleepFor(kPause + members * kPauseEach);
  }
}

void Regrouping::KillVotedOut(const MembershipRecord& next) {
  Look();
  for (size_t rank = 0; rank < seen_.size(); ++rank) {
    const Member& member = ending_.members[rank];
    if (member.machine != options_.machine || next.out.count(member.number) == 0) continue;
    if (access(options_.folder.Left(member.number).c_str(), F_OK) == 0) continue;
    const ProcessId process{member.pid, member.pid_began};
    const ProcessState state = StateOf(process);
    // Who has come reads the record, and leaves with its own words.
    const bool reads = seen_[rank].came && state != ProcessState::kStopped;
    if (reads || (seen_[rank].came && seen_[rank].presence.leaving)) continue;
    if (KillProcess(process) && options_.log != nullptr) {
      options_.log->Warning(absl::StrCat("killed process ", member.pid, ", which was rank ", rank,
                                         " and was voted out: ", next.out.at(member.number)));
    }
  }
}

}  // namespace lockstep::comm
