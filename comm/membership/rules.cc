#include "comm/membership/rules.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"

namespace lockstep::comm {

std::set<int> Unreachable(const std::vector<Candidate>& by_rank) {
  std::map<int, int> rank_of;  // of the present, by number
  for (size_t rank = 0; rank < by_rank.size(); ++rank) {
    if (by_rank[rank].present) rank_of[by_rank[rank].member.number] = static_cast<int>(rank);
  }
  std::set<std::pair<int, int>> conflicts;  // of numbers, lower first
  for (const auto& [number, rank] : rank_of) {
    for (const int other : by_rank[rank].suspects) {
      if (other != number && rank_of.count(other) != 0)
        conflicts.emplace(std::min(number, other), std::max(number, other));
    }
  }
  std::set<int> out;
  while (!conflicts.empty()) {
    std::map<int, int> degree;
    for (const auto& [a, b] : conflicts) {
      ++degree[a];
      ++degree[b];
    }
    const auto worse = [&](const auto& a, const auto& b) {
      return std::pair(a.second, rank_of[a.first]) < std::pair(b.second, rank_of[b.first]);
    };
    const int worst = std::max_element(degree.begin(), degree.end(), worse)->first;
    out.insert(worst);
    for (auto it = conflicts.begin(); it != conflicts.end();) {
      it = it->first == worst || it->second == worst ? conflicts.erase(it) : std::next(it);
    }
  }
  return out;
}

void SortByMachine(std::vector<Member>& members) {
  std::map<std::string, int> lowest;
  for (const Member& member : members) {
    const auto [at, fresh] = lowest.emplace(member.machine, member.number);
    if (!fresh) at->second = std::min(at->second, member.number);
  }
  std::sort(members.begin(), members.end(), [&](const Member& a, const Member& b) {
    return std::pair(lowest[a.machine], a.number) < std::pair(lowest[b.machine], b.number);
  });
}

MembershipRecord NextRecord(uint64_t generation, const std::vector<Candidate>& by_rank, int size,
                            const std::vector<JoinRequest>& newcomers, int most, int next_number) {
  MembershipRecord record;
  record.generation = generation;
  const std::set<int> unreachable = Unreachable(by_rank);
  for (const Candidate& one : by_rank) {
    const int number = one.member.number;
    if (one.leaving) {
      record.leaving.push_back(number);
    } else if (!one.present) {
      record.out[number] = one.why_not;
    } else if (unreachable.count(number) != 0) {
      record.out[number] = "it and other ranks could not reach each other";
    } else if (size > 0 && static_cast<int>(record.members.size()) >= size) {
      record.leaving.push_back(number);
    } else {
      record.members.push_back(one.member);
    }
  }
  std::map<int, std::string> ids;
  for (const JoinRequest& request : newcomers) {
    const bool room = most <= 0 || static_cast<int>(record.members.size()) < most;
    if (size > 0 || !room || record.members.empty()) break;
    Member member = request.member;
    member.number = next_number++;
    ids[member.number] = request.id;
    record.members.push_back(std::move(member));
  }
  record.next_number = next_number;
  SortByMachine(record.members);
  for (const Member& member : record.members) record.requests.push_back(ids[member.number]);
  return record;
}

absl::Status CompareCredentials(const Credentials& run, const Credentials& newcomer) {
  std::map<std::string, std::string> theirs;
  for (const AgreementField& field : newcomer) theirs[field.field] = field.value;
  for (const AgreementField& field : run) {
    const auto at = theirs.find(field.field);
    if (at == theirs.end()) {
      return ConfigError(absl::StrCat("the newcomer says nothing of its '", field.field, "'; the run's is '",
                                      field.value, "'. Is it of this version?"));
    }
    if (at->second != field.value) {
      return ConfigError(absl::StrCat("the newcomer differs from the run in ", field.field, ": the run has '",
                                      field.value, "', the newcomer '", at->second, "'"));
    }
    theirs.erase(at);
  }
  if (theirs.empty()) return absl::OkStatus();
  return ConfigError(absl::StrCat("the newcomer names '", theirs.begin()->first,
                                  "', of which the run says nothing. Is it of this version?"));
}

}  // namespace lockstep::comm
