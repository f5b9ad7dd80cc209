#include "comm/membership/watch.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/strip.h"
#include "comm/culprits.h"
#include "comm/membership/process.h"
#include "comm/membership/rules.h"
#include "runtime/core/clock.h"
#include "runtime/core/file_system.h"
#include "runtime/core/thread.h"

namespace lockstep::comm {
namespace {

constexpr int kLookMs = 50;
constexpr int kRanksWhoAttend = 4;  // to newcomers: the first, and some in case that it fails
constexpr size_t kMaxNewcomers = 1024;
constexpr absl::Duration kForget = absl::Minutes(1);  // a newcomer that shows no sign of life

}  // namespace

bool Freshness::See(std::string value) {
  if (changed_ >= 0 && value == value_) return false;
  value_ = std::move(value);
  changed_ = MonotonicSeconds();
  return true;
}

absl::Duration Freshness::Age() const {
  return changed_ < 0 ? absl::InfiniteDuration() : absl::Seconds(MonotonicSeconds() - changed_);
}

MembershipWatch::MembershipWatch(Options options)
    : options_(std::move(options)), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  thread_ = std::thread(&MembershipWatch::Loop, this);
}

MembershipWatch::~MembershipWatch() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
    on_call_ = nullptr;
  }
  const uint64_t one = 1;
  if (write(wake_.get(), &one, sizeof one) < 0) {
    // It looks again after kLookMs anyway.
  }
  thread_.join();
}

void MembershipWatch::Enter(const MembershipRecord& record) {
  std::lock_guard<std::mutex> lock(mutex_);
  now_ = {record.generation, record.RankOf(options_.number), static_cast<int>(record.members.size()),
          record.members};
  called_ = absl::OkStatus();
  on_call_ = nullptr;
  told_ = false;
  taken_.insert(record.requests.begin(), record.requests.end());
  const auto taken = [&](const JoinRequest& request) { return taken_.count(request.id) != 0; };
  welcome_.erase(std::remove_if(welcome_.begin(), welcome_.end(), taken), welcome_.end());
}

void MembershipWatch::OnCall(std::function<void(const absl::Status&)> on_call) {
  std::lock_guard<std::mutex> lock(mutex_);
  on_call_ = std::move(on_call);  // a call that came before it is told by the thread
}

void MembershipWatch::Silence() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    on_call_ = nullptr;
  }
  std::lock_guard<std::mutex> finished(calling_);
}

absl::Status MembershipWatch::Called() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return called_;
}

int MembershipWatch::NewcomerCount() const {
  std::lock_guard<std::mutex> lock(mutex_);
  const int waiting = static_cast<int>(welcome_.size());
  return options_.most <= 0 ? waiting : std::clamp(options_.most - now_.size, 0, waiting);
}

std::vector<JoinRequest> MembershipWatch::Newcomers() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return welcome_;
}

void MembershipWatch::Loop() {
  NameThread("lockstep-member");
  uint64_t generation = 0;
  std::vector<Fd> processes;  // of the other members on this machine, by rank
  while (true) {
    Generation now;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (stop_) return;
      now = now_;
    }
    if (now.number != generation) {
      generation = now.number;
      processes = ProcessesOf(now);
    }
    if (generation != 0) {
      const absl::Status called = Called();
      if (!called.ok()) Call(generation, called);  // for a callback that came later
      LookForDeaths(now, processes);
      LookForCall(now);
      if (now.rank < kRanksWhoAttend) LookForNewcomers(now);
    }
    Sleep(processes);
  }
}

// Of the other members on this machine, by rank. Who has ended by now is reported.
std::vector<Fd> MembershipWatch::ProcessesOf(const Generation& now) {
  std::vector<Fd> processes;
  for (size_t rank = 0; rank < now.members.size(); ++rank) {
    const Member& member = now.members[rank];
    const ProcessId process{member.pid, member.pid_began};
    const bool near = member.machine == options_.machine && member.pid != getpid();
    processes.push_back(near ? WatchProcess(process) : Fd());
    if (near && StateOf(process) == ProcessState::kGone) ReportDeath(now, rank);
  }
  return processes;
}

// Until the next look, or the end of a process.
void MembershipWatch::Sleep(const std::vector<Fd>& processes) {
  std::vector<pollfd> polled{{wake_.get(), POLLIN, 0}};
  for (const Fd& process : processes) {
    if (process.valid()) polled.push_back({process.get(), POLLIN, 0});
  }
  poll(polled.data(), polled.size(), kLookMs);
}

void MembershipWatch::LookForCall(const Generation& now) {
  const uint64_t next = now.number + 1;
  if (access(options_.folder.Generation(next).c_str(), F_OK) != 0) return;
  const double time = MonotonicSeconds();
  if (time >= next_beat_) {
    next_beat_ = time + absl::ToDoubleSeconds(kBeat);
    // What cannot be written shows in Regroup, where somebody can do something about it.
    WriteSmallFile(options_.folder.Alive(next, options_.number), absl::StrCat(++beat_)).IgnoreError();
  }
  if (!Called().ok()) return;
  const int caller = options_.folder.FirstCaller(next);
  if (caller < 0) return;
  const auto text = ReadSmallFile(options_.folder.Present(next, caller));
  const auto presence = text.ok() ? PresenceFromText(*text) : text.status();
  int rank = -1;
  for (size_t r = 0; r < now.members.size(); ++r) {
    if (now.members[r].number == caller) rank = static_cast<int>(r);
  }
  Call(now.number,
       PeerError(absl::StrCat("rank ", rank, " calls for generation ", next,
                              presence.ok() && !presence->reason.empty() ? ": " : "",
                              presence.ok() ? absl::string_view(presence->reason) : absl::string_view(""))));
}

void MembershipWatch::LookForDeaths(const Generation& now, std::vector<Fd>& processes) {
  for (size_t rank = 0; rank < processes.size(); ++rank) {
    if (!processes[rank].valid()) continue;
    pollfd polled{processes[rank].get(), POLLIN, 0};
    if (poll(&polled, 1, 0) <= 0) continue;
    processes[rank].Close();
    ReportDeath(now, rank);
  }
}

void MembershipWatch::ReportDeath(const Generation& now, size_t rank) {
  // Who left in order had done its part.
  if (access(options_.folder.Left(now.members[rank].number).c_str(), F_OK) == 0) return;
  Call(now.number, WithCulprits(PeerError(absl::StrCat("rank ", rank, " died (its process ended)")),
                                {static_cast<int>(rank)}));
}

void MembershipWatch::Call(uint64_t generation, const absl::Status& reason) {
  std::lock_guard<std::mutex> calling(calling_);
  std::function<void(const absl::Status&)> on_call;
  absl::Status first;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (now_.number != generation) return;
    if (called_.ok()) called_ = reason;
    first = called_;
    if (!told_) on_call = on_call_;
    if (on_call != nullptr) told_ = true;
  }
  if (on_call != nullptr) on_call(first);
}

bool MembershipWatch::Lives(const Newcomer& newcomer) const {
  const Member& member = newcomer.request.member;
  if (member.machine == options_.machine && StateOf({member.pid, member.pid_began}) == ProcessState::kGone) {
    return false;
  }
  return newcomer.beat.Age() < options_.settle + 4 * kBeat;
}

void MembershipWatch::LookForNewcomers(const Generation& now) {
  const double time = MonotonicSeconds();
  if (time < next_newcomers_) return;
  next_newcomers_ = time + absl::ToDoubleSeconds(kBeat);
  std::map<std::string, Newcomer> found;
  const std::vector<std::string> names = NamesIn(options_.folder.Joins());
  for (absl::string_view name : names) {
    if (!absl::ConsumePrefix(&name, "ask-") || !IsRandomName(name) || found.size() >= kMaxNewcomers) continue;
    const std::string id(name);
    const auto text = ReadSmallFile(options_.folder.Ask(id));
    if (!text.ok()) continue;
    auto request = RequestFromText(*text);
    if (!request.ok() || request->id != id) continue;
    Newcomer& newcomer = found[id];
    const auto known = newcomers_.find(id);
    if (known != newcomers_.end()) newcomer = std::move(known->second);
    newcomer.request = *std::move(request);
    newcomer.beat.See(absl::StrCat(newcomer.request.beat));
    newcomer.judgement = CompareCredentials(options_.credentials, newcomer.request.credentials);
    newcomer.lives = Lives(newcomer);
    if (newcomer.lives) Attend(newcomer, now);
  }
  newcomers_ = std::move(found);
  if (now.rank == 0) Tidy(names);
  std::lock_guard<std::mutex> lock(mutex_);
  welcome_.clear();
  for (const auto& [id, newcomer] : newcomers_) {
    if (newcomer.lives && newcomer.judgement.ok() && taken_.count(id) == 0)
      welcome_.push_back(newcomer.request);
  }
}

// What is left of those who asked and have gone.
void MembershipWatch::Tidy(const std::vector<std::string>& names) {
  const std::set<std::string> there(names.begin(), names.end());
  for (absl::string_view name : names) {
    const std::string path = JoinPath(options_.folder.Joins(), name);
    if (absl::ConsumePrefix(&name, "ask-")) {
      const auto known = newcomers_.find(std::string(name));
      if (known != newcomers_.end() && known->second.beat.Age() > kForget) unlink(path.c_str());
    } else if (absl::ConsumePrefix(&name, "seen-") || absl::ConsumePrefix(&name, "refused-")) {
      if (there.count(absl::StrCat("ask-", name)) == 0) unlink(path.c_str());
    }
  }
}

// Tells the newcomer that members live, or what is wrong with it. The lowest rank does; a higher one, when
// that has not for a while.
void MembershipWatch::Attend(Newcomer& newcomer, const Generation& now) {
  const MemberFolder& folder = options_.folder;
  const std::string& id = newcomer.request.id;
  if (access(folder.Refused(id).c_str(), F_OK) == 0) return;
  newcomer.seen.See(ReadSmallFile(folder.Seen(id)).value_or(""));
  if (now.rank > 0 && newcomer.seen.Age() < now.rank * (options_.settle + 4 * kBeat)) return;
  if (newcomer.judgement.ok()) {
    WriteSmallFile(folder.Seen(id), absl::StrCat(options_.number, " ", ++beat_)).IgnoreError();
    return;
  }
  if (!WriteSmallFile(folder.Refused(id), newcomer.judgement.message()).ok() || options_.log == nullptr)
    return;
  options_.log->Warning(
      absl::StrCat("a process (", newcomer.request.member.pid, " on '", newcomer.request.member.machine,
                   "') that asked to be let in was refused: ", newcomer.judgement.message()));
}

}  // namespace lockstep::comm
