// Poison: a piece of work that kills whoever takes it on. What the dead were working on is kept in
// RUN/attempts.jsonl; when two deaths in a row happen at the same place (step, lane, and record or operator), the
// run ends and names the records, instead of dying for ever.
#ifndef LOCKSTEP_RUNTIME_TRAIN_POISON_H_
#define LOCKSTEP_RUNTIME_TRAIN_POISON_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/core/file_system.h"
#include "runtime/core/log.h"
#include "runtime/core/status.h"
#include "runtime/train/work_marks.h"

namespace lockstep::train {

// {"step": 7, "lane": 3, "stage": "lane", "item": 12, "attempt": 2}
std::string DeathLine(const WorkMark& mark, int64_t attempt);

struct Deaths {
  int64_t attempt = 0;          // counted from 1; 0: nobody has died
  std::vector<WorkMark> marks;  // of all processes that died in it
};
// The newest attempt of a journal; lines that are none are passed over.
Deaths NewestDeaths(absl::string_view journal);

// The places where both the dead of the attempt before and those of now were.
std::vector<WorkMark> AtTheSamePlace(absl::Span<const WorkMark> before, absl::Span<const WorkMark> now);

// What a rank of an unfinished run left: files in `folder` (RUN/attempts), of processes that are gone. Reads and
// removes them, adds what they say to the journal, and returns the places of poison; none, as a rule. To be
// called by one process at a time. Files that cannot be read are logged and left.
absl::StatusOr<std::vector<WorkMark>> CollectDeaths(FileSystem* fs, const std::string& folder,
                                                    const std::string& journal_path, Logger* log);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_POISON_H_
