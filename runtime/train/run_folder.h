// RUN/, the folder of one run: what lies where, who may write to it, and how a resume cuts it back.
#ifndef LOCKSTEP_RUNTIME_TRAIN_RUN_FOLDER_H_
#define LOCKSTEP_RUNTIME_TRAIN_RUN_FOLDER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "runtime/core/file_system.h"
#include "runtime/core/log.h"

namespace lockstep::train {

// Where things lie; touches nothing.
struct RunPaths {
  explicit RunPaths(std::string run_folder) : folder(std::move(run_folder)) {}
  std::string folder;
  std::string config() const { return JoinPath(folder, "run.textproto"); }
  std::string metrics() const { return JoinPath(folder, "metrics.jsonl"); }
  std::string ledger() const { return JoinPath(folder, "ledger.jsonl"); }
  std::string result() const { return JoinPath(folder, "result.json"); }
  std::string integrity() const { return JoinPath(folder, "integrity.jsonl"); }
  std::string attempts() const { return JoinPath(folder, "attempts"); }
  std::string deaths() const { return JoinPath(folder, "attempts.jsonl"); }
  std::string trace() const { return JoinPath(folder, "trace.json"); }
  std::string checkpoints() const { return JoinPath(folder, "checkpoints"); }
  std::string events() const { return JoinPath(folder, "events"); }
  std::string trace_of(int64_t generation) const {  // of a rank that took over from the first writer
    return JoinPath(folder, absl::StrCat("trace-generation-", generation, ".json"));
  }
  std::string membership() const { return JoinPath(folder, "membership"); }  // comm/membership.h
  std::string control() const { return JoinPath(folder, "control.sock"); }   // control_server.h
  std::string supervisor() const {
    return JoinPath(folder, ".supervisor");
  }  // lock of `lockstep launch --elastic`
  std::string lock() const { return JoinPath(folder, ".lock"); }
};

// A run folder held for writing. One process of a run (rank 0) holds it. Movable; releases the lock when
// destroyed.
class RunFolder {
 public:
  // Makes the folder where it is missing and takes its lock. While another run holds it, says so once and
  // waits for up to `wait`, then ConfigError naming the pid that the lock file names. Removes the leftovers
  // of a crashed save.
  static absl::StatusOr<RunFolder> Open(FileSystem* fs, const std::string& folder, Logger* logger,
                                        absl::Duration wait = absl::Seconds(15));

  // The same for a rank that goes on in place of the one that held the folder. That one is dead, or was
  // voted out: where its machine does not answer and so its lock stays, goes on without after `wait`, and says
  // so. The membership is what counts then.
  static absl::StatusOr<RunFolder> TakeOver(FileSystem* fs, const std::string& folder, Logger* logger,
                                            absl::Duration wait = absl::Seconds(2));

  const RunPaths& paths() const { return paths_; }

  // Takes away the result.json of an earlier start, if there is one. What prevents it is logged.
  void ForgetResult(Logger* logger);

  // Writes run.textproto, atomically.
  absl::Status WriteConfig(absl::string_view resolved_text);

  // Before a run continues after `step` steps: drops from metrics and ledger every record of a later step and
  // whatever is torn, sets later checkpoints aside, and forgets a best checkpoint that was later. Step 0
  // drops everything. Idempotent, and safe to interrupt.
  absl::Status CutBack(int64_t step, Logger* logger);

 private:
  RunFolder(FileSystem* fs, const std::string& folder) : fs_(fs), paths_(folder) {}
  FileSystem* fs_;
  RunPaths paths_;
  std::unique_ptr<FileLock> lock_;
};

// What a file of lines ends with.
struct LastLines {
  int64_t step = 0;  // of the last step's line
  int64_t eval = 0;  // of the last validation's
};
// CutLines, and what is then there. A missing file holds nothing.
absl::StatusOr<LastLines> CutTail(FileSystem* fs, const std::string& path, int64_t step);

// Cuts a file of lines {"step": N, ...} back: a line stays when it is whole and its N <= `step`. A missing
// file is fine.
absl::Status CutLines(FileSystem* fs, const std::string& path, int64_t step);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_RUN_FOLDER_H_
