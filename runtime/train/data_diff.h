// What of the data is not as it was, by the names of files.
#ifndef LOCKSTEP_RUNTIME_TRAIN_DATA_DIFF_H_
#define LOCKSTEP_RUNTIME_TRAIN_DATA_DIFF_H_

#include <string>
#include <vector>

#include "absl/types/span.h"
#include "runtime/train/manifest.h"

namespace lockstep::train {

// One line a file, in the order of `after`, then of `before`, of training or validation data:
//   digits-train-00000-of-00002.tfrecord: 98765 bytes -> 98781, 899 records -> 900
//   digits-train-00001-of-00002.tfrecord: other contents (hash 0123456789abcdef -> fedcba9876543210)
//   digits-train-00002-of-00003.tfrecord: new (1234 bytes, 10 records)
//   old.tfrecord: gone (1234 bytes, 10 records)
// and one where only the order of the files is another. Of more than `most` lines the first, and how many
// more. Empty: no file has changed.
std::vector<std::string> DataDiff(absl::Span<const ManifestDataFile> before,
                                  absl::Span<const ManifestDataFile> after, bool validation,
                                  size_t most = 20);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_DATA_DIFF_H_
