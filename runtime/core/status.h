// Errors. Every fallible function returns absl::Status or absl::StatusOr; nothing throws over a module
// border.
//
// A message says what happened, where (file and offset, rank and collective, field of the config), and what
// to do. The kind of trouble decides the exit code of the process (docs/DESIGN.md, section 7), so an error is
// made by one of the factories below, which attach that kind; it survives Annotate and travels up unchanged.
#ifndef LOCKSTEP_RUNTIME_CORE_STATUS_H_
#define LOCKSTEP_RUNTIME_CORE_STATUS_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace lockstep {

enum class Trouble : int {
  kNone = 0,
  kConfig = 2,      // usage or configuration
  kData = 3,        // records: missing, malformed, out of range
  kPeer = 4,        // a peer failed or a deadline passed
  kCheckpoint = 5,  // a checkpoint cannot be read or written
  kNumerics = 6,    // a loss or gradient is not finite and the policy says stop
  kInternal = 1,    // a defect of Lockstep's own
};

absl::Status ConfigError(absl::string_view message);
absl::Status DataError(absl::string_view message);
// kData, with code kUnavailable: what holds the records cannot be reached, or does not answer in time. Never proof of damage.
absl::Status SourceError(absl::string_view message);
absl::Status PeerError(absl::string_view message);
absl::Status DeadlineError(absl::string_view message);  // kPeer, with code kDeadlineExceeded
absl::Status CheckpointError(absl::string_view message);
absl::Status NumericsError(absl::string_view message);

// The kind of trouble of `status`; kInternal for an error that no factory above made.
Trouble TroubleOf(const absl::Status& status);

// The exit code of a process that ends with `status`: 0, or the value of its Trouble.
int ExitCodeOf(const absl::Status& status);

// `status` with "context: " before its message, code and kind kept. OK stays OK.
absl::Status Annotate(const absl::Status& status, absl::string_view context);

// The message of the last failed system call, as "what: No such file or directory"; `error` is an errno
// value.
std::string ErrnoText(absl::string_view what, int error);

}  // namespace lockstep

#define LOCKSTEP_CONCAT_INNER(a, b) a##b
#define LOCKSTEP_CONCAT(a, b) LOCKSTEP_CONCAT_INNER(a, b)

// RETURN_IF_ERROR(expression): leaves the function with the error, if there is one.
#define RETURN_IF_ERROR(expression)                    \
  do {                                                 \
    ::absl::Status lockstep_status = (expression);     \
    if (!lockstep_status.ok()) return lockstep_status; \
  } while (false)

// ASSIGN_OR_RETURN(auto value, expression): takes the value out of a StatusOr or leaves with its error.
#define ASSIGN_OR_RETURN(declaration, expression) \
  LOCKSTEP_ASSIGN_OR_RETURN(LOCKSTEP_CONCAT(lockstep_or_, __LINE__), declaration, expression)
#define LOCKSTEP_ASSIGN_OR_RETURN(holder, declaration, expression) \
  auto holder = (expression);                                      \
  if (!holder.ok()) return std::move(holder).status();             \
  declaration = *std::move(holder)

#endif  // LOCKSTEP_RUNTIME_CORE_STATUS_H_
