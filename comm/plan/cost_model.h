// Which algorithm to take for a collective: the one that a simple model of the network predicts to be the
// fastest. Pure arithmetic; comm/calibrate.h measures the model's numbers.
//
// The model (as in R. Thakur, R. Rabenseifner, W. Gropp, "Optimization of Collective Communication Operations
// in MPICH", 2005): a step in which a rank exchanges one message each way takes latency + bytes x
// seconds_per_byte; every further message of the same step adds message_seconds; adding a byte takes
// reduce_seconds_per_byte.
#ifndef LOCKSTEP_COMM_PLAN_COST_MODEL_H_
#define LOCKSTEP_COMM_PLAN_COST_MODEL_H_

#include <string>
#include <vector>

#include "comm/call.h"

namespace lockstep::comm {

struct CostModel {
  double latency = 30e-6;            // seconds
  double message_seconds = 8e-6;     // seconds
  double seconds_per_byte = 0.5e-9;  // of one message, each way
  double reduce_seconds_per_byte = 0.1e-9;

  friend bool operator==(const CostModel&, const CostModel&) = default;
};

// What can carry a collective out, in the order of AlgorithmNames(); one name at least (kAuto stands for the
// only way there is). For calls over messages (comm/p2p).
std::vector<Algorithm> AlgorithmsFor(const Call& call, int size);

// Why `algorithm` cannot carry `call` out among `size` ranks; OK when it can. Error: InvalidArgument naming
// those that can.
absl::Status CheckAlgorithm(const Call& call, Algorithm algorithm, int size);

// Seconds that `call` is predicted to take. `algorithm` is one of AlgorithmsFor.
double PredictSeconds(const Call& call, Algorithm algorithm, int size, const CostModel& model);

// The fastest of AlgorithmsFor by PredictSeconds; the same on every rank that has the same model.
Algorithm ChooseAlgorithm(const Call& call, int size, const CostModel& model);

// A table for people: for each collective the sizes at which the choice changes.
std::string DescribeChoices(int size, const CostModel& model);

// "latency_us 31.2 message_us 8.1 ns_per_byte 0.52 reduce_ns_per_byte 0.1" and back. Error: ConfigError naming
// the word that is wrong.
std::string CostModelText(const CostModel& model);
absl::StatusOr<CostModel> CostModelFromText(absl::string_view text);

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_PLAN_COST_MODEL_H_
