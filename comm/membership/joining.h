// A process that asks to be let in. Internal to comm/.
#ifndef LOCKSTEP_COMM_MEMBERSHIP_JOINING_H_
#define LOCKSTEP_COMM_MEMBERSHIP_JOINING_H_

#include <memory>
#include <string>

#include "comm/membership/files.h"
#include "comm/membership/watch.h"

namespace lockstep::comm {

// Its request is withdrawn with the object.
class Joining {
 public:
  Joining(const Credentials& credentials, const MembershipOptions& options);
  ~Joining() { Withdraw(); }

  // Shows that this process still wants to come. The record that holds it, or null when there is none yet.
  // Errors: ConfigError when it is refused; PeerError (the folder; nobody answers).
  absl::StatusOr<std::unique_ptr<MembershipRecord>> Look();

  const MemberFolder& folder() const { return folder_; }  // of the start that is asked
  const std::string& id() const { return request_.id; }

 private:
  absl::Status FindStart();
  absl::Status Ask();
  absl::StatusOr<std::unique_ptr<MembershipRecord>> FindRecord();
  absl::Status Silence() const;  // what it is, once it has lasted too long
  void Withdraw();

  const MembershipOptions& options_;
  JoinRequest request_;
  MemberFolder folder_;
  uint64_t newest_ = 0;  // generation whose record was looked at
  Freshness answer_;
  double next_beat_ = 0, silent_since_ = 0;
};

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_MEMBERSHIP_JOINING_H_
