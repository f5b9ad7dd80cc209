#include "comm/file_meeting.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "comm/culprits.h"
#include "comm/fd.h"
#include "runtime/core/file_system.h"
#include "runtime/core/hash.h"

namespace lockstep::comm {
namespace {

constexpr absl::Duration kPause = absl::Milliseconds(5);
constexpr absl::Duration kGoodbye = absl::Seconds(2);
constexpr time_t kStaleSeconds = 24 * 3600;
constexpr char kPrefix[] = ".meeting-";

// Through the open descriptor, so that a replaced file is never mistaken for this one.
std::string PathOf(const Fd& fd) { return absl::StrCat("/proc/self/fd/", fd.get()); }

// Whether the file holds what a meeting begins with (comm/store.cc): lengths, key and value of the secret.
bool BeginsMeeting(int fd) {
  constexpr char kBeginning[] = "\6\0\0\0\40\0\0\0secret";
  char found[sizeof kBeginning - 1];
  return pread(fd, found, sizeof found, 0) == sizeof found &&
         std::memcmp(found, kBeginning, sizeof found) == 0;
}

// Takes away what an earlier start left at `path`. Error: ConfigError where something else is there, which is
// left alone.
absl::Status MakeRoom(const std::string& path) {
  struct stat info;
  if (lstat(path.c_str(), &info) != 0) return absl::OkStatus();  // what else may be wrong shows later
  const Fd fd(S_ISREG(info.st_mode) ? open(path.c_str(), O_RDONLY | O_CLOEXEC) : -1);
  if (!fd.valid() || (info.st_size > 0 && !BeginsMeeting(fd.get()))) {
    return ConfigError(
        absl::StrCat("the meeting file ", path,
                     " would take the place of something that is no meeting file; name one that "
                     "is not there yet"));
  }
  unlink(path.c_str());
  return absl::OkStatus();
}

// Whether a rank may write into the file at `path` and believe its secret: nobody else can have made it. Error:
// ConfigError.
absl::Status CheckFound(int fd, const std::string& path) {
  struct stat info;
  if (fstat(fd, &info) != 0) return PeerError(ErrnoText(absl::StrCat("the meeting file ", path), errno));
  if (!S_ISREG(info.st_mode) || !BeginsMeeting(fd)) {
    return ConfigError(
        absl::StrCat(path, " is there, but is no meeting file; name one that is not there yet"));
  }
  // Over NFS what root makes may be another's.
  if ((info.st_mode & 077) != 0 || (info.st_uid != geteuid() && geteuid() != 0)) {
    return ConfigError(absl::StrCat("the meeting file ", path,
                                    " is another user's, or open to others (its mode must be 0600)"));
  }
  return absl::OkStatus();
}

class FileMeeting : public Meeting {
 public:
  FileMeeting(Fd fd, std::string path, std::shared_ptr<Store> store, std::unique_ptr<Meeting> meeting)
      : fd_(std::move(fd)), path_(std::move(path)), store_(std::move(store)), meeting_(std::move(meeting)) {}

  // The file goes when all have read what they need; over NFS an earlier deletion would cut off the slower
  // ones.
  ~FileMeeting() override {
    store_->Put(absl::StrCat("left/", rank()), "").IgnoreError();
    if (rank() != 0) return;
    const Deadline deadline = Deadline::After(kGoodbye);
    for (int peer = 1; peer < size(); ++peer) {
      if (!store_->Get(absl::StrCat("left/", peer), deadline).ok()) break;
    }
    unlink(path_.c_str());
  }

  int rank() const override { return meeting_->rank(); }
  int size() const override { return meeting_->size(); }
  const std::string& secret() const override { return meeting_->secret(); }
  absl::StatusOr<std::vector<std::string>> Exchange(const std::string& name, absl::string_view value,
                                                    Deadline deadline) override {
    return meeting_->Exchange(name, value, deadline);
  }

 private:
  const Fd fd_;
  const std::string path_;
  const std::shared_ptr<Store> store_;
  const std::unique_ptr<Meeting> meeting_;
};

absl::StatusOr<std::unique_ptr<Meeting>> Finish(Fd fd, const std::string& path, std::shared_ptr<Store> store,
                                                int rank, int size, Deadline deadline) {
  ASSIGN_OR_RETURN(std::string secret, store->Get("secret", deadline));
  ASSIGN_OR_RETURN(auto meeting, MakeStoreMeeting(store, rank, size, deadline, std::move(secret)));
  return std::unique_ptr<Meeting>(
      std::make_unique<FileMeeting>(std::move(fd), path, std::move(store), std::move(meeting)));
}

// Remains of starts that were killed while they met.
void DeleteStaleMeetings(const std::string& folder) {
  auto files = RealFileSystem()->List(folder);
  if (!files.ok()) return;
  for (const FileInfo& file : *files) {
    struct stat info;
    const std::string path = JoinPath(folder, file.name);
    if (absl::StartsWith(file.name, kPrefix) && stat(path.c_str(), &info) == 0 &&
        info.st_mtime + kStaleSeconds < time(nullptr)) {
      unlink(path.c_str());
    }
  }
}

absl::StatusOr<std::unique_ptr<Meeting>> Host(const std::string& path, int size, Deadline deadline) {
  RETURN_IF_ERROR(RealFileSystem()->CreateFolders(ParentFolder(path)));
  DeleteStaleMeetings(ParentFolder(path));
  RETURN_IF_ERROR(MakeRoom(path));
  // Filled before it gets its name, so that nobody opens it without its secret.
  const std::string draft = absl::StrCat(path, ".", getpid());
  Fd fd(open(draft.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd.valid()) return ConfigError(ErrnoText(absl::StrCat("cannot make the meeting file ", draft), errno));
  ASSIGN_OR_RETURN(std::shared_ptr<Store> store, OpenFileStore(PathOf(fd)));
  RETURN_IF_ERROR(store->Put("secret", RandomSecret()));
  if (rename(draft.c_str(), path.c_str()) != 0) {
    return ConfigError(ErrnoText(absl::StrCat("cannot name the meeting file ", path), errno));
  }
  std::vector<int> missing;
  for (int peer = 1; peer < size; ++peer) {
    const auto number = store->Get(absl::StrCat("join/", peer), deadline);
    if (!number.ok() && !absl::IsDeadlineExceeded(number.status())) return number.status();
    if (!number.ok()) missing.push_back(peer);
    if (number.ok()) RETURN_IF_ERROR(store->Put(absl::StrCat("accept/", peer), *number));
  }
  if (!missing.empty()) {
    unlink(path.c_str());
    return WithCulprits(DeadlineError(absl::StrCat("at the meeting file ", path, " these of ", size,
                                                   " ranks did not come: ", absl::StrJoin(missing, ", "),
                                                   ". Did they start, and do they share that folder?")),
                        missing);
  }
  return Finish(std::move(fd), path, std::move(store), 0, size, deadline);
}

absl::StatusOr<std::unique_ptr<Meeting>> Join(const std::string& path, int rank, int size,
                                              Deadline deadline) {
  const std::string number = RandomSecret();
  bool claimed_by_another = false, found = false;
  absl::Status unfit;  // why the file that is there is none of ours
  while (!deadline.Passed()) {
    Fd fd(open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK));
    if (!fd.valid()) {
      absl::SleepFor(kPause);
      continue;
    }
    found = true;
    unfit = CheckFound(fd.get(), path);
    auto store = OpenFileStore(PathOf(fd));
    if (!unfit.ok() || !store.ok() || !(*store)->Put(absl::StrCat("join/", rank), number).ok()) {
      absl::SleepFor(kPause);  // rank 0 may still replace it
      continue;
    }
    struct stat info;
    // No names left: rank 0 of this start has replaced what a killed one left behind.
    while (!deadline.Passed() && fstat(fd.get(), &info) == 0 && info.st_nlink > 0) {
      const auto accepted = (*store)->Get(absl::StrCat("accept/", rank), Deadline::After(10 * kPause));
      if (accepted.ok() && *accepted == number) {
        return Finish(std::move(fd), path, *std::move(store), rank, size, deadline);
      }
      claimed_by_another = accepted.ok();
      if (accepted.ok()) absl::SleepFor(kPause);
    }
  }
  RETURN_IF_ERROR(unfit);
  return DeadlineError(absl::StrCat(
      "rank ", rank, " of ", size, " waited for rank 0 at the meeting file ", path,
      claimed_by_another ? ", where another process is that rank already (or did, in an earlier start)"
      : found            ? ", which is there, but rank 0 did not answer"
                         : ", which nobody made. Did rank 0 start, and do all ranks share that folder?"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Meeting>> JoinFileMeeting(const std::string& path, int rank, int size,
                                                         Deadline deadline) {
  return rank == 0 ? Host(path, size, deadline) : Join(path, rank, size, deadline);
}

std::string MeetingPath(const std::string& folder, const std::string& job) {
  return JoinPath(folder, absl::StrCat(kPrefix, Sha256Hex(job).substr(0, 16)));
}

}  // namespace lockstep::comm
