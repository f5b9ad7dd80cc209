// A meeting in a file of a folder that all ranks share, for launchers that offer nothing better. Internal to
// comm/.
//
// Rank 0 makes the file anew (0600, with a fresh secret). Every other rank opens it and writes `join/<rank>`
// with a random number; rank 0 answers `accept/<rank>` with that number. A rank that opened the remains of an
// earlier, killed start is never accepted there; it notices that the file was replaced and joins again. Two
// processes that both claim to be one rank are told apart by their numbers. The file is deleted when all have
// met. A file at that path that is no meeting's is left alone, and one that others may have written is not
// believed.
#ifndef LOCKSTEP_COMM_FILE_MEETING_H_
#define LOCKSTEP_COMM_FILE_MEETING_H_

#include <memory>
#include <string>

#include "comm/store.h"

namespace lockstep::comm {

// The folder of `path` is made by rank 0 when it is missing. Errors: DeadlineError that lists who did not come,
// ConfigError for a path that cannot be used.
absl::StatusOr<std::unique_ptr<Meeting>> JoinFileMeeting(const std::string& path, int rank, int size,
                                                         Deadline deadline);

// ".meeting-<hash of job>" in `folder`.
std::string MeetingPath(const std::string& folder, const std::string& job);

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_FILE_MEETING_H_
