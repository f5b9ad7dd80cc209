// Whom an error means, for code that has to act on it: the ranks that a rank itself found dead, silent or out
// of reach, as a payload of the status. What a peer only reports names nobody here, since that peer's own
// error does.
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
