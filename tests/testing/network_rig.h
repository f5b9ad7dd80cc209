// Several machines on one: network namespaces, each with an interface of its own, joined by a bridge in one
// more namespace. They belong to processes that end with this one, so nothing stays behind, however it
// ends.
#ifndef LOCKSTEP_TESTS_TESTING_NETWORK_RIG_H_
#define LOCKSTEP_TESTS_TESTING_NETWORK_RIG_H_

#include <sys/types.h>

#include <memory>
#include <vector>

#include "runtime/core/status.h"

namespace lockstep::testing {

class NetworkRig {
 public:
  // Error: why it cannot be done here (no root, no namespaces, no `ip`). Use it from the main thread.
  static absl::StatusOr<std::unique_ptr<NetworkRig>> Make(int machines);
  ~NetworkRig();

  // The calling process, which must have one thread, is on that machine from now on.
  void Enter(int machine) const;
  // A process on that machine, for `nsenter -t PID -n`.
  pid_t holder(int machine) const { return holders_[machine]; }
  // Pulls the cable of a machine.
  absl::Status Cut(int machine) const;

 private:
  NetworkRig() = default;
  absl::Status AddNamespace();
  absl::Status Wire() const;

  std::vector<pid_t> holders_;  // the machines', then the bridge's
};

}  // namespace lockstep::testing

#endif  // LOCKSTEP_TESTS_TESTING_NETWORK_RIG_H_
