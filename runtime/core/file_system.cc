#include "runtime/core/file_system.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "runtime/core/mapping_guard.h"
#include "runtime/core/names.h"

namespace lockstep {
namespace {

absl::Status SystemError(absl::string_view what, const std::string& path, int error) {
  const std::string text = ErrnoText(absl::StrCat(what, " ", path), error);
  switch (error) {
    case ENOENT:
      return absl::NotFoundError(text);
    case EEXIST:
      return absl::AlreadyExistsError(text);
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(text);
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return absl::ResourceExhaustedError(text);
    default:
      return absl::UnavailableError(text);
  }
}

class PosixWritableFile final : public WritableFile {
 public:
  PosixWritableFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  ~PosixWritableFile() override {
    if (fd_ >= 0) ::close(fd_);
  }

  absl::Status Append(absl::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t written = ::write(fd_, bytes.data(), std::min(bytes.size(), size_t{1} << 30));
      if (written < 0) {
        if (errno == EINTR) continue;
        return SystemError("cannot write", path_, errno);
      }
      bytes.remove_prefix(static_cast<size_t>(written));
    }
    return absl::OkStatus();
  }

  absl::Status Sync() override {
    if (::fsync(fd_) != 0) return SystemError("cannot sync", path_, errno);
    return absl::OkStatus();
  }

  absl::Status Close() override {
    const int fd = std::exchange(fd_, -1);
    if (fd >= 0 && ::close(fd) != 0 && errno != EINTR) return SystemError("cannot close", path_, errno);
    return absl::OkStatus();
  }

 private:
  const std::string path_;
  int fd_;
};

class PosixReadableFile final : public ReadableFile {
 public:
  PosixReadableFile(std::string path, int fd, const struct stat& info)
      : path_(std::move(path)),
        fd_(fd),
        size_bytes_(static_cast<uint64_t>(info.st_size)),
        modified_ns_(int64_t{info.st_mtim.tv_sec} * 1000000000 + info.st_mtim.tv_nsec) {
    if (size_bytes_ == 0) return;
    void* memory = ::mmap(nullptr, size_bytes_, PROT_READ, MAP_SHARED, fd_, 0);
    if (memory == MAP_FAILED) return;
    mapped_ = absl::string_view(static_cast<char*>(memory), size_bytes_);
    guard_ = GuardedMapping(memory, size_bytes_);
  }
  ~PosixReadableFile() override {
    guard_ = GuardedMapping();
    if (!mapped_.empty()) ::munmap(const_cast<char*>(mapped_.data()), mapped_.size());
    ::close(fd_);
  }

  uint64_t size_bytes() const override { return size_bytes_; }
  absl::string_view Mapped() const override { return mapped_; }
  int64_t modified_ns() const override { return modified_ns_; }
  bool LostBytes() const override { return guard_.lost(); }
  int descriptor() const override { return fd_; }
  uint64_t CurrentSizeBytes() const override {
    struct stat info;
    return ::fstat(fd_, &info) == 0 ? static_cast<uint64_t>(info.st_size) : 0;
  }

  absl::Status ReadAt(uint64_t offset, void* out, size_t size_bytes) const override {
    char* to = static_cast<char*>(out);
    while (size_bytes > 0) {
      const ssize_t got = ::pread(fd_, to, std::min(size_bytes, size_t{1} << 30), static_cast<off_t>(offset));
      if (got < 0) {
        if (errno == EINTR) continue;
        return SystemError("cannot read", path_, errno);
      }
      if (got == 0)
        return DataError(absl::StrCat(path_, " ends at byte ", offset, ", ", size_bytes, " bytes early"));
      to += got;
      offset += static_cast<uint64_t>(got);
      size_bytes -= static_cast<size_t>(got);
    }
    return absl::OkStatus();
  }

 private:
  const std::string path_;
  const int fd_;
  const uint64_t size_bytes_;
  const int64_t modified_ns_;
  absl::string_view mapped_;
  GuardedMapping guard_;
};

class PosixFileLock final : public FileLock {
 public:
  explicit PosixFileLock(int fd) : fd_(fd) {}
  ~PosixFileLock() override { ::close(fd_); }

 private:
  const int fd_;
};

class PosixFileSystem final : public FileSystem {
 public:
  absl::StatusOr<std::unique_ptr<WritableFile>> Create(const std::string& path) override {
    return OpenWith(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC);
  }
  absl::StatusOr<std::unique_ptr<WritableFile>> OpenForAppend(const std::string& path) override {
    return OpenWith(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC);
  }

  absl::StatusOr<std::unique_ptr<ReadableFile>> Open(const std::string& path) override {
    // Without O_NONBLOCK the opening of a FIFO waits for somebody who writes to it, perhaps for ever.
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return SystemError("cannot open", path, errno);
    struct stat info;
    if (::fstat(fd, &info) != 0) {
      const int error = errno;
      ::close(fd);
      return SystemError("cannot open", path, error);
    }
    if (!S_ISREG(info.st_mode)) {
      ::close(fd);
      if (S_ISDIR(info.st_mode)) return SystemError("cannot open", path, EISDIR);
      return absl::UnavailableError(
          absl::StrCat("cannot open ", path, ": it is a FIFO, socket or device, not a plain file"));
    }
    return std::make_unique<PosixReadableFile>(path, fd, info);
  }

  absl::Status CreateExclusive(const std::string& path, absl::string_view contents) override {
    ASSIGN_OR_RETURN(auto file, OpenWith(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    RETURN_IF_ERROR(file->Append(contents));
    RETURN_IF_ERROR(file->Sync());
    return file->Close();
  }

  absl::StatusOr<std::vector<FileInfo>> List(const std::string& folder) override {
    DIR* dir = ::opendir(folder.c_str());
    if (dir == nullptr) return SystemError("cannot list", folder, errno);
    std::vector<FileInfo> files;
    while (const dirent* entry = ::readdir(dir)) {
      const std::string name = entry->d_name;
      struct stat info;
      if (name == "." || name == ".." || ::lstat(JoinPath(folder, name).c_str(), &info) != 0) continue;
      files.push_back({name, S_ISDIR(info.st_mode), static_cast<uint64_t>(info.st_size)});
    }
    ::closedir(dir);
    std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    return files;
  }

  bool Exists(const std::string& path) override { return ::access(path.c_str(), F_OK) == 0; }

  absl::Status CreateFolders(const std::string& folder) override {
    if (folder.empty()) return absl::OkStatus();
    if (::mkdir(folder.c_str(), 0777) == 0) return absl::OkStatus();
    if (errno == ENOENT) {
      const std::string parent = ParentFolder(folder);
      if (parent == folder) return SystemError("cannot create folder", folder, ENOENT);
      RETURN_IF_ERROR(CreateFolders(parent));
      if (::mkdir(folder.c_str(), 0777) == 0) return absl::OkStatus();
    }
    const int error = errno;
    struct stat info;
    if (error == EEXIST && ::stat(folder.c_str(), &info) == 0 && S_ISDIR(info.st_mode))
      return absl::OkStatus();
    return SystemError("cannot create folder", folder, error);
  }

  absl::Status Rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) {
      return SystemError(absl::StrCat("cannot rename ", from, " to"), to, errno);
    }
    return absl::OkStatus();
  }

  absl::Status Truncate(const std::string& path, uint64_t size_bytes) override {
    if (::truncate(path.c_str(), static_cast<off_t>(size_bytes)) != 0)
      return SystemError("cannot cut", path, errno);
    return absl::OkStatus();
  }

  absl::Status Delete(const std::string& path) override {
    if (::unlink(path.c_str()) == 0) return absl::OkStatus();
    if (errno == EISDIR || errno == EPERM) {
      if (::rmdir(path.c_str()) == 0) return absl::OkStatus();
    }
    return SystemError("cannot delete", path, errno);
  }

  absl::Status SyncFolder(const std::string& folder) override {
    const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return SystemError("cannot open folder", folder, errno);
    const int result = ::fsync(fd);
    const int error = errno;
    ::close(fd);
    // Some file systems cannot sync a folder and need not; EINVAL says so.
    if (result != 0 && error != EINVAL) return SystemError("cannot sync folder", folder, error);
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<FileLock>> Lock(const std::string& path) override {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) return SystemError("cannot open lock", path, errno);
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
      const int error = errno;
      ::close(fd);
      return SystemError("cannot lock", path, error == EWOULDBLOCK ? EEXIST : error);
    }
    return std::make_unique<PosixFileLock>(fd);
  }

 private:
  absl::StatusOr<std::unique_ptr<WritableFile>> OpenWith(const std::string& path, int flags,
                                                         int mode = 0666) {
    const int fd = ::open(path.c_str(), flags, mode);
    if (fd < 0) return SystemError("cannot create", path, errno);
    return std::make_unique<PosixWritableFile>(path, fd);
  }
};

}  // namespace

FileSystem* RealFileSystem() {
  static PosixFileSystem file_system;  // stateless
  return &file_system;
}

absl::StatusOr<std::string> ReadWholeFile(FileSystem* fs, const std::string& path) {
  ASSIGN_OR_RETURN(auto file, fs->Open(path));
  std::string contents(file->size_bytes(), '\0');
  RETURN_IF_ERROR(file->ReadAt(0, contents.data(), contents.size()));
  return contents;
}

absl::Status WriteFileAtomically(FileSystem* fs, const std::string& path, absl::string_view contents) {
  const std::string temporary = absl::StrCat(path, ".tmp");
  ASSIGN_OR_RETURN(auto file, fs->Create(temporary));
  RETURN_IF_ERROR(file->Append(contents));
  RETURN_IF_ERROR(file->Sync());
  RETURN_IF_ERROR(file->Close());
  RETURN_IF_ERROR(fs->Rename(temporary, path));
  return fs->SyncFolder(ParentFolder(path));
}

absl::Status DeleteTree(FileSystem* fs, const std::string& path) {
  auto files = fs->List(path);
  if (files.ok()) {
    for (const FileInfo& file : *files) {
      const std::string child = JoinPath(path, file.name);
      RETURN_IF_ERROR(file.is_folder ? DeleteTree(fs, child) : fs->Delete(child));
    }
  } else if (absl::IsNotFound(files.status())) {
    return absl::OkStatus();
  }
  return fs->Delete(path);
}

std::string JoinPath(absl::string_view folder, absl::string_view name) {
  if (folder.empty() || (!name.empty() && name[0] == '/')) return std::string(name);
  return absl::StrCat(folder, folder.back() == '/' ? "" : "/", name);
}

std::string ParentFolder(absl::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  const size_t slash = path.rfind('/');
  if (slash == absl::string_view::npos) return ".";
  return slash == 0 ? "/" : std::string(path.substr(0, slash));
}

absl::StatusOr<std::vector<std::string>> Glob(FileSystem* fs, const std::string& pattern) {
  if (pattern.find_first_of("*?") == std::string::npos) {
    if (!fs->Exists(pattern)) return absl::NotFoundError(absl::StrCat("no such file: ", pattern));
    return std::vector<std::string>{pattern};
  }
  const std::string folder = ParentFolder(pattern);
  const size_t slash = pattern.rfind('/');
  const std::string last = slash == std::string::npos ? pattern : pattern.substr(slash + 1);
  if (folder.find_first_of("*?") != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat(pattern, ": '*' and '?' are understood in the last part of a path only"));
  }
  ASSIGN_OR_RETURN(auto files, fs->List(folder));
  std::vector<std::string> paths;
  for (const FileInfo& file : files) {
    if (file.is_folder || !MatchesPattern(file.name, last)) continue;
    paths.push_back(slash == std::string::npos ? file.name : JoinPath(folder, file.name));
  }
  if (paths.empty()) return absl::NotFoundError(absl::StrCat("no file matches ", pattern));
  return paths;
}

}  // namespace lockstep
