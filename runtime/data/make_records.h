// What `lockstep records make` does: record files from tables and texts.
#ifndef LOCKSTEP_RUNTIME_DATA_MAKE_RECORDS_H_
#define LOCKSTEP_RUNTIME_DATA_MAKE_RECORDS_H_

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "runtime/core/file_system.h"
#include "runtime/core/status.h"
#include "runtime/data/compression.h"

namespace lockstep::data {

// Files are named OUT-PART-00000-of-00002.tfrecord (PART: train, test), or OUT-00000-of-00002.tfrecord where
// nothing is held out; compressed ones have their compression's ending behind. A part's records are dealt to
// its shards in runs of equal length (the first ones longer by one), in order. The same input and options
// give the same bytes.
struct MakeTarget {
  std::string out;  // path and beginning of the names
  int shards = 1;   // of the training part; the test part is one file
  // Instead of `shards`, and for both parts: as many files as these limits ask for (record_shards.h). Each is
  // then filled up before the next one is begun.
  int64_t shard_records = 0, shard_bytes = 0;
  Compression compression = Compression::kNone;  // of each file as a whole; names get its ending
  bool write_index = false;                      // beside each file
};

// A feature made from columns first .. last of a table, counted from 0.
struct ColumnFeature {
  enum class Kind { kBytes, kInt64, kFloat };  // kBytes: one string, a byte a column (0..255)
  std::string name;
  int first = 0, last = 0;
  Kind kind = Kind::kFloat;
};
// "image=0-63" or "label=64". Error: ConfigError.
absl::StatusOr<ColumnFeature> ParseColumns(const std::string& text, ColumnFeature::Kind kind);

struct TableOptions {
  std::string input = {};  // comma-separated numbers, a row a record; plain or gzip
  bool header = false;     // the first line is none of them
  std::vector<ColumnFeature> features = {};
  int64_t test_every = 0;  // k > 0: rows whose index is a multiple of k are the test part
};
// Errors: DataError naming line and column.
absl::Status MakeFromTable(FileSystem* fs, const TableOptions& options, const MakeTarget& target,
                           std::ostream& out);

struct TextOptions {
  std::string input;  // any bytes; plain or gzip
  std::string feature = "text";
  int64_t chunk_bytes = 65536;  // a record holds whole lines up to this many bytes, or one longer line
  int64_t train_bytes =
      -1;  // at least so much from the beginning, to the end of a line; -1: all that is no test
  int64_t test_bytes = 0;  // at most so much from the end, from the beginning of a line
  // "": none. "bpe", "wordpiece": a byte-level BPE or BERT's WordPiece of `vocabulary` tokens is learned
  // from the training part and written to OUT-tokenizer.json. Otherwise a file (tokenizer_file.h).
  std::string tokenizer = {};
  int32_t vocabulary = 0;  // of what is learned, and only then
  bool cased = false;      // of "wordpiece": upper case and accents are kept
  bool tokens = false;     // records hold the ids of the tokens, an int64_list, instead of the text
};
// The records' texts in order, joined, are the text. Each record is made into tokens on its own.
absl::Status MakeFromText(FileSystem* fs, const TextOptions& options, const MakeTarget& target,
                          std::ostream& out);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_MAKE_RECORDS_H_
