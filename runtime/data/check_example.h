// Whether all of a record is well formed, also what the parsers step over.
#ifndef LOCKSTEP_RUNTIME_DATA_CHECK_EXAMPLE_H_
#define LOCKSTEP_RUNTIME_DATA_CHECK_EXAMPLE_H_

#include "absl/strings/string_view.h"

namespace lockstep::data {

// True exactly where protobuf parses `record` as an Example or a SequenceExample: wire format at every level,
// names in UTF-8, at most kDeepestMessage levels. No memory, one pass. Thread-safe.
bool CheckExample(absl::string_view record);
bool CheckSequenceExample(absl::string_view record);

// Whether it is UTF-8 (RFC 3629).
bool IsText(absl::string_view text);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_CHECK_EXAMPLE_H_
