#include "comm/membership.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "comm/culprits.h"
#include "comm/membership/files.h"
#include "comm/membership/process.h"
#include "comm/membership/regroup.h"
#include "comm/membership/watch.h"
#include "comm/text_list.h"
#include "runtime/core/clock.h"
#include "runtime/core/file_system.h"

namespace lockstep::comm {
namespace {

constexpr absl::Duration kPause = absl::Milliseconds(20);
constexpr absl::Duration kVisible = absl::Seconds(10);  // for a new file to show on another machine

// Waits in short pieces, between which `health` is asked.
class HealthyStore : public Store {
 public:
  HealthyStore(std::shared_ptr<Store> store, std::function<absl::Status()> health)
      : store_(std::move(store)), health_(std::move(health)) {}
  absl::Status Put(const std::string& key, absl::string_view value) override {
    return store_->Put(key, value);
  }
  absl::StatusOr<std::string> Get(const std::string& key, Deadline deadline) override {
    constexpr absl::Duration kPiece = absl::Milliseconds(50);
    while (true) {
      auto value = store_->Get(key, Deadline::After(std::min(kPiece, deadline.Left())));
      if (!absl::IsDeadlineExceeded(value.status()) || deadline.Passed()) return value;
      RETURN_IF_ERROR(health_());
    }
  }

 private:
  const std::shared_ptr<Store> store_;
  const std::function<absl::Status()> health_;
};

class HealthyMeeting : public Meeting {
 public:
  HealthyMeeting(std::unique_ptr<Meeting> meeting, std::function<absl::Status()> health)
      : meeting_(std::move(meeting)), health_(std::move(health)) {}
  int rank() const override { return meeting_->rank(); }
  int size() const override { return meeting_->size(); }
  const std::string& secret() const override { return meeting_->secret(); }
  absl::StatusOr<std::vector<std::string>> Exchange(const std::string& name, absl::string_view value,
                                                    Deadline deadline) override {
    return meeting_->Exchange(name, value, deadline);
  }
  absl::Status Health() const override { return health_(); }

 private:
  const std::unique_ptr<Meeting> meeting_;
  const std::function<absl::Status()> health_;
};

std::string NumbersText(const std::vector<int>& numbers) {
  return absl::StrCat(numbers.size() == 1 ? "member " : "members ", absl::StrJoin(numbers, ", "));
}

// What changed with `next`, in the ranks of `before`.
std::string DescribeChange(const MembershipRecord& before, const MembershipRecord& next) {
  std::string text = absl::StrCat("generation ", next.generation, " has ", next.members.size(), " ranks (",
                                  before.members.size(), " before)");
  for (const auto& [number, why] : next.out) {
    absl::StrAppend(&text, "; rank ", before.RankOf(number), " is out, because ", why);
  }
  std::vector<int> left, fresh;
  for (const int number : next.leaving) left.push_back(before.RankOf(number));
  for (const Member& member : next.members) {
    if (before.RankOf(member.number) < 0) fresh.push_back(next.RankOf(member.number));
  }
  if (!left.empty()) {
    absl::StrAppend(&text, "; ", left.size() == 1 ? "rank " : "ranks ", absl::StrJoin(left, ", "), " left");
  }
  if (!fresh.empty()) {
    absl::StrAppend(&text, "; new: ", fresh.size() == 1 ? "rank " : "ranks ", absl::StrJoin(fresh, ", "));
  }
  return text;
}

class FileMembership : public Membership {
 public:
  FileMembership(const MembershipOptions& options, Credentials credentials, MemberFolder folder, int number,
                 MembershipRecord record)
      : options_(options),
        folder_(std::move(folder)),
        machine_(record.members[record.RankOf(number)].machine),
        number_(number),
        watch_(
            {folder_, machine_, number, std::move(credentials), options.settle, options.most, options.log}) {
    description_ = absl::StrCat("generation ", record.generation, " has ", record.members.size(), " ranks");
    Adopt(std::move(record));
  }
  ~FileMembership() override {
    watch_.Silence();
    // Who ends in order is not mourned. Where it cannot be written, its silence tells.
    WriteSmallFile(folder_.Left(number_), "left").IgnoreError();
  }

  uint64_t generation() const override { return record_.generation; }
  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(record_.members.size()); }
  int number() const override { return number_; }
  const std::vector<Member>& members() const override { return record_.members; }
  std::string Describe() const override { return description_; }
  void Watch(std::function<void(const absl::Status& reason)> on_call) override {
    watch_.OnCall(std::move(on_call));
  }
  int Newcomers() const override { return watch_.NewcomerCount(); }

  absl::Status Regroup(const RegroupRequest& request) override;
  absl::StatusOr<std::unique_ptr<Meeting>> Meet(absl::Duration deadline) override;
  void Suspect(const std::vector<int>& ranks) override {
    for (const int rank : ranks) {
      if (rank >= 0 && rank < size() && rank != rank_) suspects_.push_back(record_.members[rank].number);
    }
  }
  absl::Status CheckCurrent() const override;

 private:
  void Adopt(MembershipRecord record);
  absl::Status Resign(const MembershipRecord& next);
  void Clean(uint64_t generation) const;
  absl::StatusOr<std::shared_ptr<Store>> MeetingStore(Deadline deadline);

  const MembershipOptions options_;
  const MemberFolder folder_;
  const std::string machine_;
  const int number_;
  MembershipRecord record_;
  int rank_ = -1;
  std::atomic<uint64_t> generation_{0};  // 0: in none any more
  std::string description_;
  std::vector<int> suspects_;  // numbers
  MembershipWatch watch_;
};

void FileMembership::Adopt(MembershipRecord record) {
  record_ = std::move(record);
  rank_ = record_.RankOf(number_);
  suspects_.clear();
  watch_.Enter(record_);
  generation_.store(record_.generation, std::memory_order_release);
}

// This member is not in `next`.
absl::Status FileMembership::Resign(const MembershipRecord& next) {
  generation_.store(0, std::memory_order_release);
  const auto out = next.out.find(number_);
  const bool wanted = std::find(next.leaving.begin(), next.leaving.end(), number_) != next.leaving.end();
  record_.members.clear();
  rank_ = -1;
  if (wanted) return absl::OkStatus();
  return PeerError(absl::StrCat("voted out: generation ", next.generation, " was formed without this rank (",
                                NumbersText({number_}), "), because ",
                                out != next.out.end() ? out->second : "it was not there"));
}

// What only the forming of an earlier generation needed. Its record stays.
void FileMembership::Clean(uint64_t generation) const {
  const std::string path = folder_.Generation(generation);
  for (const std::string& name : NamesIn(path)) {
    if (absl::StartsWith(name, "present-") || absl::StartsWith(name, "alive-") || name == "meeting") {
      unlink(JoinPath(path, name).c_str());
    }
  }
}

absl::Status FileMembership::Regroup(const RegroupRequest& request) {
  if (rank_ < 0) return PeerError("voted out: this rank is in no generation any more");
  watch_.Silence();
  const RegroupOptions options{
      folder_,           machine_,      number_,      options_.settle,
      options_.patience, options_.most, options_.log, [this] { return watch_.Newcomers(); }};
  const MembershipRecord ending = record_;
  Regrouping regrouping(options, ending, request, suspects_);
  auto next = regrouping.Run();
  if (!next.ok()) {
    generation_.store(0, std::memory_order_release);
    record_.members.clear();
    rank_ = -1;
    return next.status();
  }
  description_ = absl::StrCat(DescribeChange(ending, *next), "; ", next->reason);
  if (next->RankOf(number_) < 0 || request.leaving) {
    if (request.leaving) next->leaving.push_back(number_);
    return Resign(*next);
  }
  regrouping.KillVotedOut(*next);
  Adopt(*std::move(next));
  if (rank_ == 0) Clean(ending.generation);
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<Store>> FileMembership::MeetingStore(Deadline deadline) {
  const std::string path = folder_.MeetingFile(record_.generation);
  if (rank_ == 0) {
    const absl::Status made = ClaimFile(path, "");
    if (absl::IsAlreadyExists(made)) {
      return absl::FailedPreconditionError(
          absl::StrCat("the ranks of generation ", record_.generation, " have met before"));
    }
    RETURN_IF_ERROR(made);
  }
  while (access(path.c_str(), F_OK) != 0) {
    RETURN_IF_ERROR(watch_.Called());
    if (deadline.Passed()) {
      return WithCulprits(DeadlineError(absl::StrCat("rank 0 did not make the meeting place ", path)), {0});
    }
    absl::SleepFor(kPause);
  }
  return OpenFileStore(path);
}

absl::StatusOr<std::unique_ptr<Meeting>> FileMembership::Meet(absl::Duration allowed) {
  if (rank_ < 0) return PeerError("voted out: this rank is in no generation any more");
  if (size() == 1) return MakeLonelyMeeting();
  const Deadline deadline = Deadline::After(allowed);
  const auto health = [this] { return watch_.Called(); };
  ASSIGN_OR_RETURN(auto store, MeetingStore(deadline));
  auto healthy = std::make_shared<HealthyStore>(std::move(store), health);
  auto meeting = MakeStoreMeeting(healthy, rank_, size(), deadline);
  if (!meeting.ok() && absl::IsDeadlineExceeded(meeting.status())) {
    return WithCulprits(Annotate(meeting.status(), "waiting for rank 0's secret"), {0});
  }
  RETURN_IF_ERROR(meeting.status());
  return std::unique_ptr<Meeting>(std::make_unique<HealthyMeeting>(*std::move(meeting), health));
}

absl::Status FileMembership::CheckCurrent() const {
  const uint64_t generation = generation_.load(std::memory_order_acquire);
  if (generation == 0) return PeerError("voted out: this rank is in no generation any more");
  RETURN_IF_ERROR(CheckStart(folder_));
  if (!folder_.HasRecord(generation + 1)) return absl::OkStatus();
  return PeerError(absl::StrCat("voted out: generation ", generation + 1, " has been formed, and this rank (",
                                NumbersText({number_}), ") is still in generation ", generation));
}

// Earlier starts of the run: folders with the names that starts have, nothing else.
void ClearEarlierStarts(const std::string& folder, const std::string& start) {
  for (const std::string& name : NamesIn(folder)) {
    if (IsRandomName(name) && name != start) {
      DeleteTree(RealFileSystem(), JoinPath(folder, name)).IgnoreError();  // it does no harm
    }
  }
}

absl::Status MakeStart(const MemberFolder& folder, const std::string& parent,
                       const MembershipRecord& record) {
  RETURN_IF_ERROR(MakeFolder(parent));
  RETURN_IF_ERROR(MakeFolder(folder.Generation(1)));
  RETURN_IF_ERROR(MakeFolder(folder.Joins()));
  RETURN_IF_ERROR(WriteSmallFile(folder.Record(1), ToText(record)));
  RETURN_IF_ERROR(WriteSmallFile(folder.Current(), folder.start()));
  ClearEarlierStarts(parent, folder.start());
  return absl::OkStatus();
}

// Whether this rank sees what rank 0 made, and can write beside it.
absl::Status CheckFolder(const MemberFolder& folder, int number) {
  const Deadline deadline = Deadline::After(kVisible);
  while (!folder.HasRecord(1)) {
    if (deadline.Passed()) {
      return ConfigError(absl::StrCat("membership: rank ", number, " does not see ", folder.Record(1),
                                      ", which rank 0 made: all ranks must share the run's folder"));
    }
    absl::SleepFor(kPause);
  }
  const std::string path = folder.Alive(1, number);
  const absl::Status written = WriteSmallFile(path, "");
  if (!written.ok()) return ConfigError(absl::StrCat("rank ", number, ": ", written.message()));
  unlink(path.c_str());
  return absl::OkStatus();
}

// Every rank's word: the first that is not OK is everyone's.
absl::Status Agree(Communicator& communicator, const absl::Status& mine) {
  ASSIGN_OR_RETURN(const auto all, AllGatherText(communicator, mine.ok() ? "" : mine.message()));
  RETURN_IF_ERROR(mine);
  for (const std::string& text : all) {
    if (!text.empty()) return ConfigError(text);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Membership>> Membership::Begin(Communicator& communicator,
                                                              const Credentials& credentials,
                                                              const MembershipOptions& options) {
  const ProcessId self = ThisProcess();
  const std::string machine = MachineOfThisProcess(options.machine);
  const std::string start = communicator.rank() == 0 ? RandomName() : "";
  ASSIGN_OR_RETURN(const auto all, AllGatherText(communicator, PackTexts({machine, absl::StrCat(self.pid),
                                                                          absl::StrCat(self.began), start})));
  MembershipRecord record;
  record.generation = 1;
  record.reason = "the run began";
  std::vector<std::string> texts;
  std::string agreed;
  for (const std::string& packed : all) {
    Member member;
    member.number = static_cast<int>(record.members.size());
    if (!UnpackTexts(packed, texts) || texts.size() != 4 || !absl::SimpleAtoi(texts[1], &member.pid) ||
        !absl::SimpleAtoi(texts[2], &member.pid_began)) {
      return PeerError(absl::StrCat("rank ", member.number, " says who it is in a way unknown here"));
    }
    member.machine = texts[0];
    if (member.number == 0) agreed = texts[3];
    record.members.push_back(std::move(member));
    record.requests.emplace_back();
  }
  record.next_number = communicator.size();
  const MemberFolder folder(options.folder, agreed);
  absl::Status status;
  if (communicator.rank() == 0) status = MakeStart(folder, options.folder, record);
  RETURN_IF_ERROR(Agree(communicator, status));
  RETURN_IF_ERROR(Agree(communicator, CheckFolder(folder, communicator.rank())));
  return std::unique_ptr<Membership>(
      std::make_unique<FileMembership>(options, credentials, folder, communicator.rank(), std::move(record)));
}

namespace {

// One process's request, and what becomes of it.
class Joining {
 public:
  Joining(const Credentials& credentials, const MembershipOptions& options) : options_(options) {
    const ProcessId self = ThisProcess();
    request_.id = RandomName();
    request_.member.machine = MachineOfThisProcess(options.machine);
    request_.member.pid = self.pid;
    request_.member.pid_began = self.began;
    request_.credentials = credentials;
  }
  ~Joining() { Withdraw(); }

  // The record that holds this process, or null when there is none yet. Errors: refused; the folder; nobody
  // answers.
  absl::StatusOr<std::unique_ptr<MembershipRecord>> Look() {
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
    if (MonotonicSeconds() - silent_since_ <= absl::ToDoubleSeconds(options_.patience)) return nullptr;
    return PeerError(absl::StrCat(
        folder_.start().empty() ? absl::StrCat("there is no run to join in ", options_.folder)
                                : absl::StrCat("nobody of the run in ", options_.folder, " answered"),
        " within ", absl::FormatDuration(options_.patience), ". Does it still run?"));
  }

  const MemberFolder& folder() const { return folder_; }
  const std::string& id() const { return request_.id; }

 private:
  absl::Status FindStart() {
    const auto current = ReadSmallFile(folder_.start().empty() ? MemberFolder(options_.folder, "").Current()
                                                               : folder_.Current());
    if (absl::IsNotFound(current.status())) return absl::OkStatus();
    RETURN_IF_ERROR(current.status());
    const std::string start(absl::StripTrailingAsciiWhitespace(*current));
    if (!IsRandomName(start)) {
      return PeerError(absl::StrCat("membership: ", folder_.Current(), " names no start of a run"));
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

  absl::Status Ask() {
    if (MonotonicSeconds() < next_beat_) return absl::OkStatus();
    next_beat_ = MonotonicSeconds() + absl::ToDoubleSeconds(kBeat);
    ++request_.beat;
    return WriteSmallFile(folder_.Ask(request_.id), ToText(request_));
  }

  absl::StatusOr<std::unique_ptr<MembershipRecord>> FindRecord() {
    while (true) {
      auto record = folder_.ReadRecord(newest_ + 1);
      if (absl::IsNotFound(record.status())) return nullptr;
      RETURN_IF_ERROR(record.status());
      ++newest_;
      if (record->RankOf(request_.id) >= 0) return std::make_unique<MembershipRecord>(*std::move(record));
    }
  }

  void Withdraw() {
    if (folder_.start().empty()) return;
    for (const std::string& path :
         {folder_.Ask(request_.id), folder_.Seen(request_.id), folder_.Refused(request_.id)}) {
      unlink(path.c_str());
    }
  }

  const MembershipOptions& options_;
  JoinRequest request_;
  MemberFolder folder_;
  uint64_t newest_ = 0;  // generation whose record was looked at
  Freshness answer_;
  double next_beat_ = 0, silent_since_ = MonotonicSeconds();
};

}  // namespace

absl::StatusOr<std::unique_ptr<Membership>> Membership::Join(const Credentials& credentials,
                                                             const MembershipOptions& options,
                                                             const std::atomic<int>* stop) {
  Joining joining(credentials, options);
  while (true) {
    if (stop != nullptr && stop->load(std::memory_order_relaxed) != 0) {
      return PeerError("stopped while it waited to be let in");
    }
    ASSIGN_OR_RETURN(auto record, joining.Look());
    if (record != nullptr) {
      const int number = record->members[record->RankOf(joining.id())].number;
      return std::unique_ptr<Membership>(std::make_unique<FileMembership>(
          options, credentials, joining.folder(), number, std::move(*record)));
    }
    absl::SleepFor(kPause);
  }
}

}  // namespace lockstep::comm
