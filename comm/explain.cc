#include "comm/explain.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"

namespace lockstep::comm {
namespace {

// How far a rank was with one collective.
enum class Stage { kDone, kInside, kQueued, kNotIssued };

std::string Seconds(int64_t nanoseconds) {
  return absl::FormatDuration(absl::Nanoseconds(nanoseconds / 1000 * 1000));
}

// "rank 3", "ranks 0-2, 5".
std::string Ranks(const std::vector<int>& ranks) {
  std::vector<std::string> runs;
  for (size_t i = 0; i < ranks.size();) {
    size_t last = i;
    while (last + 1 < ranks.size() && ranks[last + 1] == ranks[last] + 1) ++last;
    runs.push_back(last == i ? absl::StrCat(ranks[i]) : absl::StrCat(ranks[i], "-", ranks[last]));
    i = last + 1;
  }
  return absl::StrCat(ranks.size() == 1 ? "rank " : "ranks ", absl::StrJoin(runs, ", "));
}

// "3.2s", "3.2s to 4s".
std::string Span(const std::vector<int64_t>& times) {
  const auto [least, most] = std::minmax_element(times.begin(), times.end());
  const std::string from = Seconds(*least), to = Seconds(*most);
  return from == to ? from : absl::StrCat(from, " to ", to);
}

bool IsCollective(const CallRecord& record) {
  return !IsPointToPoint(static_cast<Collective>(record.descriptor.kind));
}
bool IsOver(const CallRecord& record) { return record.state == CallState::kDone; }

class Comparison {
 public:
  absl::Status Add(const NamedDump& named) {
    const Dump& dump = named.dump;
    if (ranks_.empty()) {
      first_ = &named;
    } else if (dump.world != first_->dump.world || dump.size != first_->dump.size ||
               dump.generation != first_->dump.generation) {
      return DataError(absl::StrCat(named.name, " and ", first_->name,
                                    " are of different communicators (another run, another generation or "
                                    "another split): give the dumps of one"));
    }
    Rank& rank = ranks_[dump.rank];
    if (rank.dump != nullptr) {
      return DataError(absl::StrCat(named.name, ": a second dump of rank ", dump.rank));
    }
    rank.dump = &dump;
    for (const CallRecord& record : dump.records) {
      if (IsCollective(record)) rank.collectives.emplace(record.descriptor.sequence, &record);
    }
    return absl::OkStatus();
  }

  std::string Text() const {
    std::string text = Heading();
    const uint64_t other = FirstDifference(), stopped = FirstUnfinished();
    if (other != kNone) {
      absl::StrAppend(&text, Agreement(other), "They part at collective #", other,
                      ", where they called different things:\n", Differences(other));
    } else if (stopped != kNone) {
      absl::StrAppend(&text, Agreement(stopped), "They part at collective #", stopped, ":\n", Stages(stopped),
                      Waits(stopped));
    } else {
      absl::StrAppend(&text, "The ranks did not part: all of them had done the same ", CallsOfAll(),
                      " collectives, and none was under way.\n");
    }
    return absl::StrCat(text, Messages(), FirstFailure());
  }

 private:
  static constexpr uint64_t kNone = UINT64_MAX;

  struct Rank {
    const Dump* dump = nullptr;
    std::map<uint64_t, const CallRecord*> collectives;  // by sequence: those that the dump still holds

    const CallRecord* Find(uint64_t sequence) const {
      const auto found = collectives.find(sequence);
      return found == collectives.end() ? nullptr : found->second;
    }
    Stage At(uint64_t sequence) const {
      const CallRecord* record = Find(sequence);
      // What a rank issued and its recorder forgot was done: collectives run in order.
      if (record == nullptr) return sequence < dump->collectives ? Stage::kDone : Stage::kNotIssued;
      if (IsOver(*record)) return Stage::kDone;
      return record->started == 0 ? Stage::kQueued : Stage::kInside;
    }
  };

  int size() const { return first_->dump.size; }

  std::vector<int> Missing() const {
    std::vector<int> missing;
    for (int rank = 0; rank < size(); ++rank) {
      if (ranks_.count(rank) == 0) missing.push_back(rank);
    }
    return missing;
  }

  std::string Heading() const {
    std::string text =
        absl::StrCat(size(), size() == 1 ? " rank" : " ranks", " over ", first_->dump.backend,
                     ", generation ", first_->dump.generation, "; dumps of ", ranks_.size(), ".\n");
    if (const auto missing = Missing(); !missing.empty()) {
      absl::StrAppend(&text, "No dump of ", Ranks(missing),
                      ": killed before it could write one, or its file was not given.\n");
    }
    return text;
  }

  std::string Agreement(uint64_t sequence) const {
    if (sequence == 0) return "";
    for (const auto& [unused, rank] : ranks_) {
      if (const CallRecord* before = rank.Find(sequence - 1)) {
        return absl::StrCat("The ranks agree up to ", Describe(before->descriptor), ".\n");
      }
    }
    return absl::StrCat("The ranks agree up to collective #", sequence - 1, ", as far as the dumps reach.\n");
  }

  uint64_t CallsOfAll() const { return first_->dump.collectives; }

  uint64_t FirstDifference() const {
    std::map<uint64_t, const CallDescriptor*> seen;
    uint64_t first = kNone;
    for (const auto& [unused, rank] : ranks_) {
      for (const auto& [sequence, record] : rank.collectives) {
        const auto [at, is_new] = seen.emplace(sequence, &record->descriptor);
        if (!is_new && !(*at->second == record->descriptor)) first = std::min(first, sequence);
      }
    }
    return first;
  }

  // The first that some rank issued and some rank, perhaps the same, has not done.
  uint64_t FirstUnfinished() const {
    uint64_t first = kNone, issued = 0;
    for (const auto& [unused, rank] : ranks_) {
      issued = std::max(issued, rank.dump->collectives);
      first = std::min(first, rank.dump->collectives);
      for (const auto& [sequence, record] : rank.collectives) {
        if (!IsOver(*record)) first = std::min(first, sequence);
      }
    }
    return first < issued ? first : kNone;
  }

  std::string Differences(uint64_t sequence) const {
    std::map<std::string, std::vector<int>> callers;
    std::string others;
    for (const auto& [number, rank] : ranks_) {
      const CallRecord* record = rank.Find(sequence);
      if (record != nullptr) callers[Describe(record->descriptor)].push_back(number);
      if (record == nullptr && rank.At(sequence) == Stage::kNotIssued) {
        absl::StrAppend(&others, "  rank ", number, ": did not come so far; ", LastOf(rank), "\n");
      }
    }
    std::string text;
    for (const auto& [what, who] : callers) absl::StrAppend(&text, "  ", Ranks(who), ": ", what, "\n");
    text += others;
    absl::StrAppend(&text, "Every rank must issue the same collectives in the same order.\n");
    return text;
  }

  std::vector<int> RanksAt(uint64_t sequence, Stage stage) const {
    std::vector<int> who;
    for (const auto& [number, rank] : ranks_) {
      if (rank.At(sequence) == stage) who.push_back(number);
    }
    return who;
  }

  std::string Stages(uint64_t sequence) const {
    std::string text;
    if (const auto who = RanksAt(sequence, Stage::kDone); !who.empty()) {
      absl::StrAppend(&text, "  ", Ranks(who), ": done with it\n");
    }
    if (const auto who = RanksAt(sequence, Stage::kInside); !who.empty()) {
      std::vector<int64_t> inside;
      for (int number : who) {
        const Rank& rank = ranks_.at(number);
        inside.push_back(std::max<int64_t>(rank.dump->failed - rank.Find(sequence)->started, 0));
      }
      absl::StrAppend(&text, "  ", Ranks(who), ": in ",
                      Describe(ranks_.at(who[0]).Find(sequence)->descriptor), " for ", Span(inside), "\n");
    }
    if (const auto who = RanksAt(sequence, Stage::kQueued); !who.empty()) {
      absl::StrAppend(&text, "  ", Ranks(who), ": issued it, and it waits behind an earlier call\n");
    }
    for (int number : RanksAt(sequence, Stage::kNotIssued)) {
      absl::StrAppend(&text, "  rank ", number, ": never issued it; ", LastOf(ranks_.at(number)), "\n");
    }
    if (const auto missing = Missing(); !missing.empty()) {
      absl::StrAppend(&text, "  ", Ranks(missing), ": unknown, there is no dump\n");
    }
    return text;
  }

  static std::string LastOf(const Rank& rank) {
    if (rank.dump->records.empty()) return "it called nothing at all";
    const CallRecord& last = rank.dump->records.back();
    if (!IsOver(last)) return absl::StrCat("it was in ", Describe(last.descriptor));
    return absl::StrCat("its last call, ", Describe(last.descriptor), ", was done ",
                        Seconds(std::max<int64_t>(rank.dump->failed - last.ended, 0)), " before it failed");
  }

  // Who is inside waits for who is not there yet; where all are, for the last to come.
  std::string Waits(uint64_t sequence) const {
    const auto inside = RanksAt(sequence, Stage::kInside);
    if (inside.empty()) return "";
    std::vector<int> awaited = RanksAt(sequence, Stage::kNotIssued);
    for (const auto& more : {RanksAt(sequence, Stage::kQueued), Missing()}) {
      awaited.insert(awaited.end(), more.begin(), more.end());
    }
    std::sort(awaited.begin(), awaited.end());
    if (!awaited.empty()) {
      return absl::StrCat(Ranks(inside), inside.size() == 1 ? " waits for " : " wait for ", Ranks(awaited),
                          ".\n");
    }
    std::vector<std::pair<int64_t, int>>
        came;  // also those that got through: others may have given up before
    for (const auto& [number, rank] : ranks_) {
      const CallRecord* record = rank.Find(sequence);
      if (record != nullptr && record->started > 0) came.emplace_back(record->started, number);
    }
    if (came.size() < 2) return "";
    const auto [first, last] = std::minmax_element(came.begin(), came.end());
    return absl::StrCat("All of these came to it; the last was rank ", last->second, ", ",
                        Seconds(last->first - first->first), " after rank ", first->second,
                        " (by the clocks of their machines).\n");
  }

  // Messages between two ranks that were under way.
  std::string Messages() const {
    constexpr int kMost = 20;
    std::vector<std::string> lines;
    for (const auto& [number, rank] : ranks_) {
      for (const CallRecord& record : rank.dump->records) {
        if (IsCollective(record) || IsOver(record)) continue;
        lines.push_back(absl::StrCat("rank ", number, " was in ", Describe(record.descriptor),
                                     record.to >= 0 ? absl::StrCat(" to rank ", record.to) : "",
                                     record.from >= 0 ? absl::StrCat(" from rank ", record.from) : "",
                                     ".\n"));
      }
    }
    const size_t left_out = lines.size() > kMost ? lines.size() - kMost : 0;
    lines.resize(lines.size() - left_out);
    if (left_out > 0) lines.push_back(absl::StrCat("... and ", left_out, " more messages under way.\n"));
    return absl::StrJoin(lines, "");
  }

  // A rank that only heard of another's failure is a witness, unless there is nobody better.
  std::string FirstFailure() const {
    const Dump* first = nullptr;
    for (const bool witnesses : {false, true}) {
      for (const auto& [unused, rank] : ranks_) {
        if (absl::StrContains(rank.dump->failure, " reports: ") != witnesses) continue;
        if (first == nullptr || rank.dump->failed < first->failed) first = rank.dump;
      }
      if (first != nullptr) break;
    }
    return absl::StrCat(
        "First to fail: rank ", first->rank, ", at ",
        absl::FormatTime("%Y-%m-%d %H:%M:%E3S UTC", absl::FromUnixNanos(first->failed), absl::UTCTimeZone()),
        ":\n  ", first->failure, "\n");
  }

  const NamedDump* first_ = nullptr;
  std::map<int, Rank> ranks_;
};

}  // namespace

absl::StatusOr<std::string> ExplainDumps(absl::Span<const NamedDump> dumps) {
  if (dumps.empty()) return ConfigError("no dumps to explain");
  Comparison comparison;
  for (const NamedDump& dump : dumps) RETURN_IF_ERROR(comparison.Add(dump));
  return comparison.Text();
}

absl::StatusOr<std::string> ExplainFiles(absl::Span<const std::string> paths) {
  if (paths.size() > kMaxDumps) return ConfigError(absl::StrCat("more than ", kMaxDumps, " dumps"));
  std::vector<NamedDump> dumps;
  for (const std::string& path : paths) {
    ASSIGN_OR_RETURN(Dump dump, ReadDump(path));
    dumps.push_back({path, std::move(dump)});
  }
  return ExplainDumps(dumps);
}

}  // namespace lockstep::comm
