#include "runtime/train/work_marks.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace lockstep::train {
namespace {

constexpr char kMagic[8] = {'L', 'S', 'M', 'A', 'R', 'K', 'S', '1'};
constexpr size_t kSlotBytes = 4 * sizeof(uint64_t);
constexpr size_t kFileBytes = sizeof(kMagic) + WorkMarks::kSlots * kSlotBytes;
static_assert(std::atomic<uint64_t>::is_always_lock_free);

absl::Status Failed(absl::string_view what, const std::string& path) {
  return absl::InternalError(ErrnoText(absl::StrCat(what, " ", path), errno));
}

// Closes a file when it goes.
struct File {
  explicit File(int number) : number(number) {}
  ~File() {
    if (number >= 0) close(number);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int number;
};

}  // namespace

absl::StatusOr<std::unique_ptr<WorkMarks>> WorkMarks::Create(const std::string& path) {
  File file(open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (file.number < 0) return Failed("cannot make", path);
  if (flock(file.number, LOCK_EX | LOCK_NB) != 0) return Failed("cannot lock", path);
  // Written, not only lengthened: a full disk is met here and not as SIGBUS later.
  std::string zeros(kFileBytes, '\0');
  std::memcpy(zeros.data(), kMagic, sizeof(kMagic));
  if (write(file.number, zeros.data(), zeros.size()) != static_cast<ssize_t>(zeros.size()))
    return Failed("cannot write", path);
  void* const memory = mmap(nullptr, kFileBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.number, 0);
  if (memory == MAP_FAILED) return Failed("cannot map", path);
  return std::unique_ptr<WorkMarks>(new WorkMarks(path, std::exchange(file.number, -1), memory));
}

WorkMarks::WorkMarks(std::string path, int file, void* memory)
    : path_(std::move(path)),
      file_(file),
      memory_(memory),
      slots_(reinterpret_cast<Slot*>(static_cast<char*>(memory) + sizeof(kMagic))) {}

WorkMarks::~WorkMarks() {
  unlink(path_.c_str());
  munmap(memory_, kFileBytes);
  close(file_);
}

WorkMarks::Scope::Scope(WorkMarks* marks, const WorkMark& mark) : marks_(marks) {
  if (marks_ == nullptr) return;
  for (int i = 0; i < kSlots; ++i) {
    if (marks_->taken_[i].load(std::memory_order_relaxed) || marks_->taken_[i].exchange(true)) continue;
    slot_ = i;
    Slot& slot = marks_->slots_[i];
    slot.lane_and_stage.store(static_cast<uint32_t>(mark.lane) | static_cast<uint64_t>(mark.stage) << 32,
                              std::memory_order_relaxed);
    slot.item.store(static_cast<uint64_t>(mark.item), std::memory_order_relaxed);
    slot.step.store(static_cast<uint64_t>(mark.step), std::memory_order_release);
    return;
  }
}

WorkMarks::Scope::~Scope() {
  if (slot_ < 0) return;
  marks_->slots_[slot_].step.store(0, std::memory_order_release);
  marks_->taken_[slot_].store(false, std::memory_order_release);
}

void WorkMarks::Scope::Advance() {
  if (slot_ < 0) return;
  std::atomic<uint64_t>& item = marks_->slots_[slot_].item;  // this thread's alone
  item.store(item.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

absl::StatusOr<std::optional<std::vector<WorkMark>>> ReadMarksOfTheDead(const std::string& path) {
  const File file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (file.number < 0) return Failed("cannot open", path);
  if (flock(file.number, LOCK_SH | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return std::nullopt;
    return Failed("cannot lock", path);
  }
  std::string bytes(kFileBytes + 1, '\0');
  const ssize_t size_bytes = read(file.number, bytes.data(), bytes.size());
  if (size_bytes != static_cast<ssize_t>(kFileBytes) ||
      std::memcmp(bytes.data(), kMagic, sizeof(kMagic)) != 0)
    return DataError(absl::StrCat(path, ": no file of marks of work in progress; delete it"));
  std::vector<WorkMark> marks;
  for (int i = 0; i < WorkMarks::kSlots; ++i) {
    uint64_t words[4];
    std::memcpy(words, bytes.data() + sizeof(kMagic) + i * kSlotBytes, sizeof(words));
    if (words[0] == 0) continue;
    marks.push_back({static_cast<int64_t>(words[0]), static_cast<int>(words[1] & 0x7fffffff),
                     static_cast<WorkStage>(words[1] >> 32), static_cast<int64_t>(words[2])});
  }
  return marks;
}

}  // namespace lockstep::train
