// Whether a source can be decoded at all.
#ifndef LOCKSTEP_RUNTIME_DATA_TRY_FIRST_H_
#define LOCKSTEP_RUNTIME_DATA_TRY_FIRST_H_

#include "runtime/core/status.h"
#include "runtime/data/sample_source.h"

namespace lockstep::data {

// Decodes the first sample, so that a configuration that fits no record is told before anything is started.
// Damaged records are passed over here: what becomes of them is decided when their turn comes.
absl::Status TryFirst(const SampleSource& source);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_TRY_FIRST_H_
