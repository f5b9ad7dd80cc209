// The thread by which a member hears of the others, whatever its main thread does. Internal to comm/.
//
// Twenty times a second it looks for a call for the next generation (a lookup of a name while there is none)
// and, at once, for the end of members' processes on this machine. While the next generation is being formed
// it shows that this member lives. The first few ranks also look after newcomers, four times a second.
#ifndef LOCKSTEP_COMM_MEMBERSHIP_WATCH_H_
#define LOCKSTEP_COMM_MEMBERSHIP_WATCH_H_

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "comm/fd.h"
#include "comm/membership/files.h"

namespace lockstep::comm {

inline constexpr absl::Duration kBeat = absl::Milliseconds(250);  // of what shows that someone lives

// How long ago something last changed, as far as who looks can tell.
class Freshness {
 public:
  // True when `value` is another than the last time.
  bool See(std::string value);
  absl::Duration Age() const;  // of the last change

 private:
  std::string value_;
  double changed_ = -1;
};

class MembershipWatch {
 public:
  struct Options {
    MemberFolder folder;
    std::string machine;  // of this member
    int number = 0;
    Credentials credentials;
    absl::Duration settle;
    int most = 0;
    Logger* log = nullptr;
  };
  explicit MembershipWatch(Options options);
  ~MembershipWatch();

  // From now on the next generation is `record`'s. Forgets the call and the callback.
  void Enter(const MembershipRecord& record);

  void OnCall(std::function<void(const absl::Status&)> on_call);
  // No callback is running or will run, until the next OnCall.
  void Silence();
  // The call for the next generation, or the death of a member on this machine (with its rank as culprit); OK
  // while there is neither.
  absl::Status Called() const;

  // Let in: credentials are the run's, and it lives. At most as many as there is room for.
  int NewcomerCount() const;
  std::vector<JoinRequest> Newcomers() const;  // by id

 private:
  struct Newcomer {
    JoinRequest request;
    Freshness beat;
    Freshness seen;
    absl::Status judgement;
    bool lives = false;
  };
  struct Generation {
    uint64_t number = 0;
    int rank = 0, size = 0;
    std::vector<Member> members;
  };

  void Loop();
  std::vector<Fd> ProcessesOf(const Generation& now);
  void ReportDeath(const Generation& now, size_t rank);
  void Sleep(const std::vector<Fd>& processes);
  void LookForCall(const Generation& now);
  void LookForDeaths(const Generation& now, std::vector<Fd>& processes);
  void LookForNewcomers(const Generation& now);
  void Tidy(const std::vector<std::string>& names);
  void Attend(Newcomer& newcomer, const Generation& now);
  bool Lives(const Newcomer& newcomer) const;
  void Call(uint64_t generation, const absl::Status& reason);

  const Options options_;
  Fd wake_;
  mutable std::mutex mutex_;
  Generation now_;
  bool stop_ = false;
  absl::Status called_;
  std::function<void(const absl::Status&)> on_call_;
  bool told_ = false;  // the callback, of this generation's call
  std::vector<JoinRequest> welcome_;
  std::set<std::string> taken_;  // requests that were granted

  std::mutex calling_;  // held while the callback runs

  // Of the thread.
  std::map<std::string, Newcomer> newcomers_;
  uint64_t beat_ = 0;
  double next_beat_ = 0, next_newcomers_ = 0;
  std::thread thread_;
};

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_MEMBERSHIP_WATCH_H_
