#include "comm/hier/group_rounds.h"

#include <algorithm>
#include <utility>

namespace lockstep::comm {
namespace {

// Before every value: whether its rank still exchanges.
constexpr char kActive = '+', kDone = '-';

}  // namespace

GroupRounds::GroupRounds(Meeting& all, std::vector<int> members, std::string name)
    : all_(all), members_(std::move(members)), name_(std::move(name)) {
  rank_ = static_cast<int>(std::find(members_.begin(), members_.end(), all.rank()) - members_.begin());
}

absl::StatusOr<std::vector<std::string>> GroupRounds::Round(absl::string_view value, Deadline deadline) {
  return all_.Exchange(absl::StrCat(name_, "/", round_++), value, deadline);
}

absl::StatusOr<std::vector<std::string>> GroupRounds::Exchange(const std::string& name,
                                                               absl::string_view value, Deadline deadline) {
  ASSIGN_OR_RETURN(const auto all, Round(absl::StrCat(std::string(1, kActive), value), deadline));
  std::vector<std::string> values;
  for (const int member : members_) {
    if (all[member].empty() || all[member][0] != kActive) {
      return PeerError(absl::StrCat("rank ", member, " gave up before ", name));
    }
    values.push_back(all[member].substr(1));
  }
  return values;
}

absl::Status GroupRounds::Finish(Deadline deadline) {
  while (true) {
    ASSIGN_OR_RETURN(const auto all, Round(std::string(1, kDone), deadline));
    const bool everyone = std::all_of(
        all.begin(), all.end(), [](const std::string& value) { return !value.empty() && value[0] == kDone; });
    if (everyone) return absl::OkStatus();
  }
}

}  // namespace lockstep::comm
