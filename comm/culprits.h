// Whom an error means, for code that has to act on it (Membership::Suspect): the ranks that could not be
// reached, as a payload of the status. Strong evidence only: who did not come to a meeting, did not answer
// calls until the deadline, or whose machine acknowledges nothing. Not who hung up, since it may have left
// for a good reason; not who was late in a collective, since it may itself have waited; not whom a peer
// reports.
#ifndef LOCKSTEP_COMM_CULPRITS_H_
#define LOCKSTEP_COMM_CULPRITS_H_

#include <vector>

#include "absl/status/status.h"

namespace lockstep::comm {

// `status` with `ranks` (of the communicator or meeting that made it) added to its culprits. Annotate keeps
// them. OK stays OK.
absl::Status WithCulprits(absl::Status status, const std::vector<int>& ranks);

// Ascending, each once; empty when it names nobody.
std::vector<int> CulpritsOf(const absl::Status& status);

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_CULPRITS_H_
