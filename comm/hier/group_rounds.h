// Meetings of groups of ranks inside one meeting of all of them. Internal to comm/.
#ifndef LOCKSTEP_COMM_HIER_GROUP_ROUNDS_H_
#define LOCKSTEP_COMM_HIER_GROUP_ROUNDS_H_

#include <string>
#include <vector>

#include "comm/store.h"

namespace lockstep::comm {

// The group `members` (ascending, this rank among them) meets while every other rank of `all` does the same
// with a group of its own. Exchanges of all groups share numbered rounds of `all`, so groups may make
// different numbers of exchanges: who is done calls Finish, which takes part until everyone is.
class GroupRounds : public Meeting {
 public:
  // `name` tells the rounds from all other exchanges of `all`, which outlives this.
  GroupRounds(Meeting& all, std::vector<int> members, std::string name);

  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(members_.size()); }
  const std::string& secret() const override { return all_.secret(); }
  absl::StatusOr<std::vector<std::string>> Exchange(const std::string& name, absl::string_view value,
                                                    Deadline deadline) override;
  absl::Status Health() const override { return all_.Health(); }
  // No exchange follows.
  absl::Status Finish(Deadline deadline);

 private:
  absl::StatusOr<std::vector<std::string>> Round(absl::string_view value, Deadline deadline);

  Meeting& all_;
  const std::vector<int> members_;
  const std::string name_;
  int rank_ = 0, round_ = 0;
};

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_HIER_GROUP_ROUNDS_H_
