// The text index of NVIDIA DALI (its tool tfrecord2idx; also vahidk's tfrecord2idx.py): a line "offset size"
// a record, decimal, where `size` counts the framing too. DALI reads X.idx for the record file X.
#ifndef LOCKSTEP_RUNTIME_DATA_DALI_INDEX_H_
#define LOCKSTEP_RUNTIME_DATA_DALI_INDEX_H_

#include <string>

#include "absl/strings/string_view.h"
#include "runtime/core/status.h"
#include "runtime/data/record_index.h"

namespace lockstep::data {

std::string DaliIndexPathOf(absl::string_view record_path);  // "X" -> "X.idx"

std::string EncodeDaliIndex(const RecordIndex& index);

// An index of the records in `bytes` out of the text `contents` of `path`. The text is believed where a record
// begins, never what lies there: each record's header must say the same. Error: DataError naming the line of a
// text that is none, that does not fit `record_path`, or that leaves records out.
absl::StatusOr<RecordIndex> DecodeDaliIndex(const std::string& path, absl::string_view contents,
                                            const std::string& record_path, absl::string_view bytes);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_DALI_INDEX_H_
