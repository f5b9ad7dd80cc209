// What a rank is working on right now, where a death cannot take it away: a small file of the run folder that
// is mapped into memory. A process that is killed leaves its marks in the page cache; one that ends in good
// order takes its file away. A mark costs a few stores.
//
// The file is little-endian: 8 bytes "LSMARKS1", then kSlots slots of four u64: step (0: free), lane | stage << 32,
// item, 0. Its process holds a lock on it (flock), so that the marks of the dead are told from those of the
// living, also over NFS.
#ifndef LOCKSTEP_RUNTIME_TRAIN_WORK_MARKS_H_
#define LOCKSTEP_RUNTIME_TRAIN_WORK_MARKS_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/core/status.h"

namespace lockstep::train {

enum class WorkStage : uint32_t {
  kDecode = 1,  // of a record; `item` is the sample's position
  kLane = 2,    // forward and backward; `item` counts the operators done
};

struct WorkMark {
  int64_t step = 0;  // counted from 1, as in the files of a run
  int lane = 0;
  WorkStage stage = WorkStage::kLane;
  int64_t item = 0;
  friend bool operator==(const WorkMark&, const WorkMark&) = default;
};

// Thread-safe.
class WorkMarks {
 public:
  static constexpr int kSlots = 256;  // pieces of work at a time; more go unmarked

  // Makes the file and locks it. Error: the system call's.
  static absl::StatusOr<std::unique_ptr<WorkMarks>> Create(const std::string& path);
  ~WorkMarks();  // takes the file away
  WorkMarks(const WorkMarks&) = delete;
  WorkMarks& operator=(const WorkMarks&) = delete;

  // The step that lanes belong to.
  void SetStep(int64_t step) { step_.store(step, std::memory_order_relaxed); }
  int64_t step() const { return step_.load(std::memory_order_relaxed); }

  // A piece of work while the object lives.
  class Scope {
   public:
    Scope(WorkMarks* marks, const WorkMark& mark);  // null: nothing is marked
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
    void Advance();  // one item further

   private:
    WorkMarks* const marks_;
    int slot_ = -1;
  };

 private:
  struct Slot {
    std::atomic<uint64_t> step, lane_and_stage, item, unused;
  };
  WorkMarks(std::string path, int file, void* memory);

  const std::string path_;
  const int file_;
  void* const memory_;
  Slot* const slots_;
  std::atomic<int64_t> step_{0};
  std::array<std::atomic<bool>, kSlots> taken_{};
};

// The marks of a process that is gone; nothing while it lives. Error: DataError for a file that is no such
// file.
absl::StatusOr<std::optional<std::vector<WorkMark>>> ReadMarksOfTheDead(const std::string& path);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_WORK_MARKS_H_
