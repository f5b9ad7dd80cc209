// Who is in a run. A run's ranks change at generations: when some died, hang or cannot be reached, the others
// claim the next generation without them; when others ask to come, the next generation holds them.
//
// Everything goes through files of one folder (RUN/membership) that all members can reach, since what failed
// is the way between them. A generation is claimed by making its record exclusively (link(2), which is atomic
// over NFS too): so at most one side of a partition gets it. Who is not in the newest record writes nothing
// to RUN any more and leaves. The files and their formats: comm/membership/files.h.
//
//   Begin ---> generation 1 -- failure or change --> Regroup --> generation 2 --> ...
//   Join  ------------------------------------------------------^
#ifndef LOCKSTEP_COMM_MEMBERSHIP_H_
#define LOCKSTEP_COMM_MEMBERSHIP_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "comm/bootstrap.h"
#include "comm/communicator.h"
#include "comm/store.h"
#include "runtime/core/log.h"
#include "runtime/core/status.h"

namespace lockstep::comm {

struct MembershipOptions {
  std::string folder;  // of the run's members: RUN/membership; made when missing
  // From the first call for a new generation: how long a member is waited for that shows no sign of life, and
  // one that shows it is alive (its watch answers) but has not come yet.
  absl::Duration settle = absl::Seconds(1);
  absl::Duration patience = absl::Seconds(10);
  int most = 0;           // members that a generation may have (the lanes of the recipe); 0: any number
  Logger* log = nullptr;  // may be null; borrowed
  std::string machine;    // for tests: members that name different ones count as apart; "": as found
};

// What a newcomer must have in common with the run: build, recipe, data, probe (comm::CheckAgreement).
using Credentials = std::vector<AgreementField>;

// A member is a process. Its number never changes and is never given twice in a run; its rank changes with
// the generations. In the first, ranks are numbers; later ones are ordered by (machine, number), machines by
// the lowest of their numbers.
struct Member {
  int number = 0;
  std::string machine;     // members with equal ones share kernel, network and process numbers
  int64_t pid = 0;         // there
  uint64_t pid_began = 0;  // the kernel's start time of the process, which tells it from a later one
};

// Why a new generation is wanted, as this rank sees it.
struct RegroupRequest {
  // The communicator's failure; OK: a change on purpose, agreed by all ranks.
  absl::Status reason = absl::OkStatus();
  // On purpose: so many shall remain, those of the lowest ranks; 0: all, and newcomers are let in.
  int size = 0;
  bool leaving = false;  // this rank goes, for good
};

// For the thread that owns it, but where said otherwise.
class Membership {
 public:
  // The first generation: the ranks of `communicator`, in its order. Collective over it. Rank 0 clears what
  // an earlier start of this run left.
  static absl::StatusOr<std::unique_ptr<Membership>> Begin(Communicator& communicator,
                                                           const Credentials& credentials,
                                                           const MembershipOptions& options);
  // A newcomer: asks, and waits until a generation holds it. Errors: ConfigError that names what differs from
  // the run; PeerError when nobody lets it in within `patience` of nobody being alive, or when `stop` is set.
  static absl::StatusOr<std::unique_ptr<Membership>> Join(const Credentials& credentials,
                                                          const MembershipOptions& options,
                                                          const std::atomic<int>* stop);
  virtual ~Membership() = default;

  virtual uint64_t generation() const = 0;  // 1 is the first
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual int number() const = 0;                          // of this member
  virtual const std::vector<Member>& members() const = 0;  // by rank
  virtual std::string Describe() const = 0;  // for people: what changed with this generation, and why

  // Calls `on_call` from a thread of its own when another member calls for the next generation, or when the
  // process of a member on this machine ends without having left: the owner should abort what it does
  // (Communicator::Abort) and Regroup. Once a generation, within about 50 ms. In force until the next Regroup
  // begins, which waits for a call of it under way.
  virtual void Watch(std::function<void(const absl::Status& reason)> on_call) = 0;
  // Newcomers that ask to be let in and for whom there is room (`most`); those with other credentials have
  // been refused, with the field that differs. From any thread. Only ranks 0 to 3 know: others say 0.
  virtual int Newcomers() const = 0;

  // The next generation, of those who come. All that still live call it, for whatever reason. Blocks for
  // about `settle` when somebody is silent, at most for about two `patience`. Members of this machine that
  // were voted out because they did not come, but still live, are killed (SIGKILL). OK and size() 0: this rank
  // goes, as it wanted (`leaving`) or as was planned (`size`). Errors: PeerError "voted out" when the next
  // generation does not hold this member, or a later start of the run has taken over; PeerError naming a file
  // that cannot be read or written. After an error this member is in no generation.
  virtual absl::Status Regroup(const RegroupRequest& request) = 0;

  // The place where the current generation's ranks meet, with a secret of its own. Once a generation. While
  // the ranks meet, and make their communicator with it, a call for the next generation ends the waits at once
  // (Meeting::Health). Errors: PeerError or DeadlineError, with the culprits (comm/culprits.h).
  virtual absl::StatusOr<std::unique_ptr<Meeting>> Meet(absl::Duration deadline) = 0;
  // Members that Meet or MakeCommunicator could not reach (CulpritsOf of its error), by rank of the current
  // generation: they and this rank will not both be in the next one, even if both show in the folder (a
  // partition). Who stays: comm/membership/rules.h, Unreachable. Forgotten with the next Regroup. Not for
  // failures of a communicator that worked: who was late there may only have waited for the culprit.
  virtual void Suspect(const std::vector<int>& ranks) = 0;

  // Whether this member's generation is still the newest: to be asked right before anything in RUN is made
  // final. Error: PeerError "voted out". From any thread.
  virtual absl::Status CheckCurrent() const = 0;
};

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_MEMBERSHIP_H_
