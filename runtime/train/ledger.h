// RUN/ledger.jsonl: which records each committed step consumed, in position order:
//   {"step": 1, "ids": [5, 17, 2]}
#ifndef LOCKSTEP_RUNTIME_TRAIN_LEDGER_H_
#define LOCKSTEP_RUNTIME_TRAIN_LEDGER_H_

#include <memory>
#include <string>

#include "runtime/core/file_system.h"
#include "runtime/core/log.h"
#include "runtime/train/observer.h"

namespace lockstep::train {

// `logger` must outlive the observer.
absl::StatusOr<std::unique_ptr<Observer>> OpenLedger(FileSystem* fs, const std::string& path, Logger* logger);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_LEDGER_H_
