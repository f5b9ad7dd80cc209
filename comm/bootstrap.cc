#include "comm/bootstrap.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/strip.h"
#include "comm/file_meeting.h"
#include "comm/pmix/pmix_meeting.h"

namespace lockstep::comm {
namespace {

absl::StatusOr<std::unique_ptr<Meeting>> MeetInherited(const World& world, Deadline deadline) {
  absl::string_view place = world.meeting_place;
  if (!absl::ConsumePrefix(&place, "fd:"))
    return JoinFileMeeting(world.meeting_place, world.rank, world.size, deadline);
  auto store = OpenFileStore(absl::StrCat("/proc/self/fd/", place));
  if (!store.ok()) {
    return ConfigError(absl::StrCat("LOCKSTEP_MEETING=", world.meeting_place,
                                    " names no inherited file: ", store.status().message(),
                                    ". It is set by `lockstep launch` for its children only"));
  }
  ASSIGN_OR_RETURN(std::string secret, (*store)->Get("secret", deadline));
  return MakeStoreMeeting(*std::move(store), world.rank, world.size, deadline, std::move(secret));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Meeting>> Meet(const World& world, const MeetOptions& options) {
  if (world.size == 1) return MakeLonelyMeeting();
  const Deadline deadline = Deadline::After(options.deadline);
  if (!world.meeting_place.empty()) return MeetInherited(world, deadline);
  std::string why;
  if (world.pmix) {
    auto meeting = JoinPmixMeeting(world.rank, world.size, deadline);
    if (meeting.ok() || !absl::IsUnavailable(meeting.status())) return meeting;
    why = absl::StrCat(" (", meeting.status().message(), ")");
  }
  if (!options.folder.empty()) {
    return JoinFileMeeting(MeetingPath(options.folder, world.job), world.rank, world.size, deadline);
  }
  return ConfigError(absl::StrCat("rank ", world.rank, " of ", world.size, " (launcher: ", world.launcher,
                                  ") has no place to meet the others: no PMIx", why,
                                  ", no LOCKSTEP_MEETING and no shared folder. Set LOCKSTEP_MEETING to the "
                                  "path of a file that all ranks can make or read (MPICH: mpirun -genv "
                                  "LOCKSTEP_MEETING PATH), or start the ranks with `lockstep launch`"));
}

absl::StatusOr<int> MakeInheritedMeetingPlace() {
  const int fd = memfd_create("lockstep-meeting", 0);
  if (fd < 0) return absl::InternalError(ErrnoText("memfd_create", errno));
  auto store = OpenFileStore(absl::StrCat("/proc/self/fd/", fd));
  const absl::Status status = store.ok() ? (*store)->Put("secret", RandomSecret()) : store.status();
  if (status.ok()) return fd;
  close(fd);
  return status;
}

}  // namespace lockstep::comm
