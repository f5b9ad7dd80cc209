#include "comm/membership/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "comm/fd.h"
#include "comm/store.h"
#include "runtime/core/file_system.h"

namespace lockstep::comm {
namespace {

constexpr off_t kMaxFileBytes = off_t{1} << 20;
constexpr size_t kMaxNames = 8192;
constexpr size_t kNameBytes = 32;

absl::Status Failure(absl::string_view what, const std::string& path) {
  return PeerError(ErrnoText(absl::StrCat("membership: ", what, " ", path), errno));
}

// Writes a file that nobody knows of yet; `path` is set to where.
absl::StatusOr<Fd> WriteDraft(const std::string& final_path, absl::string_view contents, std::string& path) {
  path = JoinPath(ParentFolder(final_path), absl::StrCat(".draft-", RandomName()));
  Fd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid()) return Failure("cannot make", final_path);
  while (!contents.empty()) {
    const ssize_t written = write(fd.get(), contents.data(), contents.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      if (written == 0) errno = EIO;
      const absl::Status status = Failure("cannot write", final_path);
      unlink(path.c_str());
      return status;
    }
    contents.remove_prefix(written);
  }
  return fd;
}

}  // namespace

std::string MemberFolder::Root() const { return JoinPath(folder_, start_); }
std::string MemberFolder::Current() const { return JoinPath(folder_, "current"); }
std::string MemberFolder::Generation(uint64_t generation) const {
  return JoinPath(Root(), absl::StrCat("gen-", generation));
}
std::string MemberFolder::Record(uint64_t generation) const {
  return JoinPath(Generation(generation), "record");
}
std::string MemberFolder::Present(uint64_t generation, int number) const {
  return JoinPath(Generation(generation), absl::StrCat("present-", number));
}
std::string MemberFolder::Alive(uint64_t generation, int number) const {
  return JoinPath(Generation(generation), absl::StrCat("alive-", number));
}
std::string MemberFolder::MeetingFile(uint64_t generation) const {
  return JoinPath(Generation(generation), "meeting");
}
std::string MemberFolder::Joins() const { return JoinPath(Root(), "joins"); }
std::string MemberFolder::Ask(const std::string& id) const {
  return JoinPath(Joins(), absl::StrCat("ask-", id));
}
std::string MemberFolder::Seen(const std::string& id) const {
  return JoinPath(Joins(), absl::StrCat("seen-", id));
}
std::string MemberFolder::Refused(const std::string& id) const {
  return JoinPath(Joins(), absl::StrCat("refused-", id));
}
std::string MemberFolder::Left(int number) const { return JoinPath(Root(), absl::StrCat("left-", number)); }

int MemberFolder::FirstCaller(uint64_t generation) const {
  for (absl::string_view name : NamesIn(Generation(generation))) {
    int number;
    if (absl::ConsumePrefix(&name, "present-") && absl::SimpleAtoi(name, &number)) return number;
  }
  return -1;
}

absl::StatusOr<MembershipRecord> MemberFolder::ReadRecord(uint64_t generation) const {
  const std::string path = Record(generation);
  ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(path));
  auto record = RecordFromText(text);
  if (record.ok() && record->generation != generation) {
    return PeerError(absl::StrCat("membership: ", path, " is of generation ", record->generation));
  }
  if (!record.ok()) return Annotate(record.status(), absl::StrCat("membership: ", path, " is damaged"));
  return record;
}

bool MemberFolder::HasRecord(uint64_t generation) const {
  // Opened, not only looked up: over NFS that asks the server.
  return Fd(open(Record(generation).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)).valid();
}

absl::Status MakeFolder(const std::string& path) {
  const std::string parent = ParentFolder(path);
  struct stat info;
  if (stat(parent.c_str(), &info) != 0) RETURN_IF_ERROR(MakeFolder(parent));
  if (mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) {
    if (stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) return absl::OkStatus();
    errno = ENOTDIR;
  }
  return ConfigError(ErrnoText(
      absl::StrCat("membership: cannot make the folder ", path, ", by which the ranks of a run agree"),
      errno));
}

absl::StatusOr<std::string> ReadSmallFile(const std::string& path) {
  // Whatever it is, opening it must not wait.
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd.valid() && errno == ENOENT) return absl::NotFoundError(path);
  struct stat info;
  if (!fd.valid() || fstat(fd.get(), &info) != 0) return Failure("cannot open", path);
  if (!S_ISREG(info.st_mode) || info.st_size > kMaxFileBytes) {
    return PeerError(absl::StrCat("membership: ", path, " is no file of a membership"));
  }
  std::string contents(info.st_size, '\0');
  size_t have = 0;
  while (have < contents.size()) {
    const ssize_t got = pread(fd.get(), &contents[have], contents.size() - have, static_cast<off_t>(have));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Failure("cannot read", path);
    if (got == 0) break;
    have += got;
  }
  contents.resize(have);
  return contents;
}

absl::Status WriteSmallFile(const std::string& path, absl::string_view contents) {
  std::string draft;
  ASSIGN_OR_RETURN(Fd fd, WriteDraft(path, contents, draft));
  if (close(fd.Release()) == 0 && rename(draft.c_str(), path.c_str()) == 0) return absl::OkStatus();
  const absl::Status status = Failure("cannot write", path);
  unlink(draft.c_str());
  return status;
}

absl::Status ClaimFile(const std::string& path, absl::string_view contents) {
  std::string draft;
  ASSIGN_OR_RETURN(Fd fd, WriteDraft(path, contents, draft));
  absl::Status status;
  if (close(fd.Release()) != 0) {
    status = Failure("cannot write", path);
  } else if (link(draft.c_str(), path.c_str()) != 0) {
    const int error = errno;
    // Over NFS the answer to a link that was made may be lost, and its repetition fails: the count tells.
    struct stat info;
    const bool made = stat(draft.c_str(), &info) == 0 && info.st_nlink == 2;
    errno = error;
    if (!made) status = error == EEXIST ? absl::AlreadyExistsError(path) : Failure("cannot claim", path);
  }
  unlink(draft.c_str());
  return status;
}

std::vector<std::string> NamesIn(const std::string& folder) {
  struct Close {
    void operator()(DIR* open) const { closedir(open); }
  };
  std::vector<std::string> names;
  const std::unique_ptr<DIR, Close> open(opendir(folder.c_str()));
  if (open == nullptr) return names;
  while (names.size() < kMaxNames) {
    const dirent* const entry = readdir(open.get());
    if (entry == nullptr) break;
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string RandomName() { return absl::BytesToHexString(RandomSecret().substr(0, kNameBytes / 2)); }

bool IsRandomName(absl::string_view name) {
  return name.size() == kNameBytes && name.find_first_not_of("0123456789abcdef") == absl::string_view::npos;
}

}  // namespace lockstep::comm
