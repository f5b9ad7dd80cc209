#include "comm/culprits.h"

#include <set>
#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace lockstep::comm {
namespace {

constexpr char kUrl[] = "lockstep/culprits";  // the ranks, as "1,4,7"

}  // namespace

std::vector<int> CulpritsOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kUrl);
  if (!payload) return {};
  std::set<int> ranks;
  for (const absl::string_view text : absl::StrSplit(std::string(*payload), ',')) {
    int rank = -1;
    if (absl::SimpleAtoi(text, &rank) && rank >= 0) ranks.insert(rank);
  }
  return {ranks.begin(), ranks.end()};
}

absl::Status WithCulprits(absl::Status status, const std::vector<int>& ranks) {
  if (status.ok() || ranks.empty()) return status;
  std::set<int> all(ranks.begin(), ranks.end());
  for (const int rank : CulpritsOf(status)) all.insert(rank);
  status.SetPayload(kUrl, absl::Cord(absl::StrJoin(all, ",")));
  return status;
}

}  // namespace lockstep::comm
