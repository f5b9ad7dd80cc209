// RUN/result.json: how the run ended; scripts read this rather than mpirun's exit code.
#ifndef LOCKSTEP_RUNTIME_TRAIN_RESULT_H_
#define LOCKSTEP_RUNTIME_TRAIN_RESULT_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "runtime/core/file_system.h"

namespace lockstep::train {

struct RunResult {
  std::string status;                                // "done", "interrupted", "failed"
  std::string message;                               // why, unless done; left out when empty
  int exit_code = 0;                                 // of the ranks
  int64_t steps = 0;                                 // done, over all resumes
  double loss = 0;                                   // of the last step
  std::vector<std::pair<std::string, double>> eval;  // the last validation; may be empty
  std::string weights_sha256, state_sha256;
  int64_t skipped_steps = 0;      // of `steps`, those whose update the guard left out (numerics)
  int64_t damaged_records = 0;    // places of the run at which a record was damaged (data.damaged)
  int64_t samples = 0;            // consumed, over all resumes
  double samples_per_second = 0;  // of this process's steps
  double seconds = 0;             // training, over all resumes
  int world_size = 1;
  int64_t generations = 1;
};

std::string ResultText(const RunResult& result);

// Atomic: a reader sees the old file or the new one.
absl::Status WriteResult(FileSystem* fs, const std::string& path, const RunResult& result);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_RESULT_H_
