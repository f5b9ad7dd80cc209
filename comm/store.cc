#include "comm/store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>

#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "comm/culprits.h"

namespace lockstep::comm {
namespace {

class MemoryStore : public Store {
 public:
  absl::Status Put(const std::string& key, absl::string_view value) override {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!values_.emplace(key, std::string(value)).second)
      return absl::AlreadyExistsError(absl::StrCat("key ", key));
    changed_.notify_all();
    return absl::OkStatus();
  }
  absl::StatusOr<std::string> Get(const std::string& key, Deadline deadline) override {
    std::unique_lock<std::mutex> lock(mutex_);
    const auto until = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(deadline.Left());
    if (!changed_.wait_until(lock, until, [&] { return values_.count(key) != 0; })) {
      return DeadlineError(absl::StrCat("nobody put the key ", key));
    }
    return values_[key];
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::string> values_;
};

// A record of the file: u32 key length, u32 value length, key, value. Little-endian machines only, like the
// rest.
constexpr uint32_t kMaxFieldBytes = 1u << 20;
constexpr off_t kMaxFileBytes = off_t{64} << 20;  // of a meeting of thousands of ranks; more is not ours

class FileStore : public Store {
 public:
  explicit FileStore(std::string path) : path_(std::move(path)) {}

  absl::Status Put(const std::string& key, absl::string_view value) override {
    if (key.size() > kMaxFieldBytes || value.size() > kMaxFieldBytes)
      return absl::InvalidArgumentError("too long");
    const uint32_t lengths[2] = {static_cast<uint32_t>(key.size()), static_cast<uint32_t>(value.size())};
    const std::string record =
        absl::StrCat(absl::string_view(reinterpret_cast<const char*>(lengths), sizeof lengths), key, value);
    const int fd = open(path_.c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0) return Failure("cannot open");
    absl::Status status;
    struct stat info;
    if (flock(fd, LOCK_EX) != 0 || fstat(fd, &info) != 0) {
      status = Failure("cannot lock");
    } else if (pwrite(fd, record.data(), record.size(), info.st_size) !=
               static_cast<ssize_t>(record.size())) {
      status = Failure("cannot append to");
    }
    close(fd);
    return status;
  }

  absl::StatusOr<std::string> Get(const std::string& key, Deadline deadline) override {
    absl::Duration pause = absl::Microseconds(200);
    while (true) {
      ASSIGN_OR_RETURN(const std::string contents, Read());
      std::string value;
      if (Find(contents, key, value)) return value;
      if (deadline.Passed()) return DeadlineError(absl::StrCat("nobody put the key ", key, " into ", path_));
      absl::SleepFor(std::min(pause, deadline.Left()));
      pause = std::min(pause * 2, absl::Milliseconds(20));
    }
  }

 private:
  absl::Status Failure(absl::string_view what) const {
    return PeerError(ErrnoText(absl::StrCat("meeting place: ", what, " ", path_), errno));
  }

  // Opened anew each time: over NFS that is when another machine's writes become visible.
  absl::StatusOr<std::string> Read() const {
    const int fd = open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return Failure("cannot open");
    std::string contents;
    struct stat info;
    absl::Status status;
    if (flock(fd, LOCK_SH) != 0 || fstat(fd, &info) != 0 || info.st_size > kMaxFileBytes) {
      status = Failure("cannot read");
    } else {
      contents.resize(info.st_size);
      const ssize_t got = pread(fd, &contents[0], contents.size(), 0);
      contents.resize(got < 0 ? 0 : got);
    }
    close(fd);
    if (!status.ok()) return status;
    return contents;
  }

  static bool Find(absl::string_view contents, absl::string_view key, std::string& value) {
    uint32_t lengths[2];
    while (contents.size() >= sizeof lengths) {
      std::memcpy(lengths, contents.data(), sizeof lengths);
      contents.remove_prefix(sizeof lengths);
      if (uint64_t{lengths[0]} + lengths[1] > contents.size()) return false;
      if (contents.substr(0, lengths[0]) == key) {
        value = std::string(contents.substr(lengths[0], lengths[1]));
        return true;
      }
      contents.remove_prefix(size_t{lengths[0]} + lengths[1]);
    }
    return false;
  }

  const std::string path_;
};

class StoreMeeting : public Meeting {
 public:
  StoreMeeting(std::shared_ptr<Store> store, int rank, int size, std::string secret)
      : store_(std::move(store)), rank_(rank), size_(size), secret_(std::move(secret)) {}
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  const std::string& secret() const override { return secret_; }

  absl::StatusOr<std::vector<std::string>> Exchange(const std::string& name, absl::string_view value,
                                                    Deadline deadline) override {
    RETURN_IF_ERROR(store_->Put(absl::StrCat(name, "/", rank_), value));
    std::vector<std::string> values;
    std::vector<int> missing;
    for (int rank = 0; rank < size_; ++rank) {
      auto got = store_->Get(absl::StrCat(name, "/", rank), deadline);
      if (!got.ok() && !absl::IsDeadlineExceeded(got.status())) return got.status();
      if (!got.ok()) missing.push_back(rank);
      values.push_back(got.ok() ? *std::move(got) : "");
    }
    if (missing.empty()) return values;
    return WithCulprits(DeadlineError(absl::StrCat("waiting for all ranks at '", name, "': of ", size_,
                                                   " these did not come: ", absl::StrJoin(missing, ", "),
                                                   ". Did they start, and do they share the "
                                                   "meeting place?")),
                        missing);
  }

 private:
  const std::shared_ptr<Store> store_;
  const int rank_, size_;
  const std::string secret_;
};

class LonelyMeeting : public Meeting {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  const std::string& secret() const override { return secret_; }
  absl::StatusOr<std::vector<std::string>> Exchange(const std::string&, absl::string_view value,
                                                    Deadline) override {
    return std::vector<std::string>{std::string(value)};
  }

 private:
  const std::string secret_ = RandomSecret();
};

}  // namespace

std::shared_ptr<Store> MakeMemoryStore() { return std::make_shared<MemoryStore>(); }

absl::StatusOr<std::shared_ptr<Store>> OpenFileStore(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0)
    return PeerError(ErrnoText(absl::StrCat("meeting place ", path), errno));
  if (!S_ISREG(info.st_mode)) return ConfigError(absl::StrCat("meeting place ", path, " is not a file"));
  return std::shared_ptr<Store>(std::make_shared<FileStore>(path));
}

absl::StatusOr<std::unique_ptr<Meeting>> MakeStoreMeeting(std::shared_ptr<Store> store, int rank, int size,
                                                          Deadline deadline, std::string secret) {
  if (secret.empty()) {
    if (rank == 0) RETURN_IF_ERROR(store->Put("secret", RandomSecret()));
    ASSIGN_OR_RETURN(secret, store->Get("secret", deadline));
  }
  if (secret.size() < 16) return ConfigError("the meeting place holds a secret shorter than 16 bytes");
  return std::unique_ptr<Meeting>(
      std::make_unique<StoreMeeting>(std::move(store), rank, size, std::move(secret)));
}

std::unique_ptr<Meeting> MakeLonelyMeeting() { return std::make_unique<LonelyMeeting>(); }

std::string RandomSecret() {
  std::string secret(32, '\0');
  size_t have = 0;
  while (have < secret.size()) {  // blocks at most until the kernel's generator is seeded, early in boot
    const ssize_t got = getrandom(&secret[have], secret.size() - have, 0);
    if (got > 0) have += got;
  }
  return secret;
}

}  // namespace lockstep::comm
