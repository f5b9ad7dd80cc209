// One member's part in forming the next generation. Internal to comm/.
//
// Each member that lives comes to the folder of the next generation, with a file. When for every member of
// the ending one it is known whether it comes, the present one of the lowest rank writes the record; if it
// dies first, the next one does, after a while. All read it.
#ifndef LOCKSTEP_COMM_MEMBERSHIP_REGROUP_H_
#define LOCKSTEP_COMM_MEMBERSHIP_REGROUP_H_

#include <functional>
#include <string>
#include <vector>

#include "comm/membership/files.h"
#include "comm/membership/process.h"
#include "comm/membership/rules.h"
#include "comm/membership/watch.h"

namespace lockstep::comm {

struct RegroupOptions {
  MemberFolder folder;
  std::string machine;  // of this member
  int number = 0;
  absl::Duration settle, patience;
  int most = 0;
  Logger* log = nullptr;
  // Who asks to be let in, asked when this member makes the record.
  std::function<std::vector<JoinRequest>()> newcomers;
};

class Regrouping {
 public:
  // `ending` is the generation that ends, `suspects` numbers of its members.
  Regrouping(const RegroupOptions& options, const MembershipRecord& ending, RegroupRequest request,
             std::vector<int> suspects);

  // The record of the next generation, whether it holds this member or not. Error: PeerError (the folder; a
  // later start of the run; nobody made a record in time).
  absl::StatusOr<MembershipRecord> Run();

  // SIGKILL for members on this machine that `next` votes out, but that are still there and have not come, or
  // stand still: they would hold memory and cores, and know nothing.
  void KillVotedOut(const MembershipRecord& next);

 private:
  struct Seen {
    Freshness sign;     // of life
    bool came = false;  // its file is there
    Presence presence;
  };

  absl::Status Come();
  void Look();
  Candidate Judge(size_t rank);
  std::string WhyNotAwaited(size_t rank);  // "" while it is
  absl::StatusOr<bool> Claim(const std::vector<Candidate>& candidates);

  const RegroupOptions& options_;
  const MembershipRecord& ending_;
  const RegroupRequest request_;
  const std::vector<int> suspects_;
  const uint64_t next_;
  std::vector<Seen> seen_;  // by rank
  Deadline silence_, patience_;
};

// Whether `folder`'s start is the newest of the run. Error: PeerError "voted out".
absl::Status CheckStart(const MemberFolder& folder);

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_MEMBERSHIP_REGROUP_H_
