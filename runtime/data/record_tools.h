// What `lockstep records` does with record files that exist: each writes what it finds to `out` as text.
#ifndef LOCKSTEP_RUNTIME_DATA_RECORD_TOOLS_H_
#define LOCKSTEP_RUNTIME_DATA_RECORD_TOOLS_H_

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "runtime/core/file_system.h"
#include "runtime/core/status.h"
#include "runtime/data/dataset.h"

namespace lockstep::data {

// `patterns` everywhere: paths, or patterns with '*' and '?' in the last part. Errors are DataErrors naming
// the file.

// The files that patterns stand for, in their order; each once.
absl::StatusOr<std::vector<std::string>> ListRecordFiles(FileSystem* fs,
                                                         const std::vector<std::string>& patterns);

// Writes the index X.lsidx beside each file X, or converts from or to that of DALI (dali_index.h), X.idx;
// several files at a time.
enum class IndexWork : uint8_t { kBuild, kImportDali, kExportDali };
absl::Status IndexRecords(FileSystem* fs, const std::vector<std::string>& patterns, IndexWork work,
                          std::ostream& out);

// A line a file: records, bytes, features of the first record.
absl::Status ListRecords(FileSystem* fs, const std::vector<std::string>& patterns, std::ostream& out);

// Compares every checksum, and an index with its file where there is one; `threads` files at a time. One line
// a damaged record (of each file at most 20 are told, all are counted), then a summary. Error: when anything
// is damaged.
absl::Status VerifyRecords(FileSystem* fs, const std::vector<std::string>& patterns, int threads,
                           std::ostream& out);

enum class CatFormat : uint8_t {
  kText,  // as protobuf text
  kJson,  // a JSON object a line (proto3's mapping: bytes as base64, int64 as strings)
};
struct CatOptions {
  CatFormat format = CatFormat::kText;
  int64_t first = 0;   // of all files as one list
  int64_t limit = -1;  // that are printed; < 0: all
  std::vector<std::string> where =
      {};  // conditions that a record must fulfil (record_match.h), of a SequenceExample its context
};
// Examples, or SequenceExamples where they have feature lists.
absl::Status CatRecords(FileSystem* fs, const std::vector<std::string>& patterns, const CatOptions& options,
                        std::ostream& out);

struct StatOptions {
  bool json = false;      // to `out` as the file is
  std::string out = {};   // "": none. A file of statistics, for columns of a training (columns/statistics.h)
  std::string html = {};  // "": none. A page with plots
};
// Over all records: how many, how large, and for each feature its type, length, range and histogram of
// values, the most frequent values with their shares, and in how many records it is; likewise of feature
// lists.
absl::Status StatRecords(FileSystem* fs, const std::vector<std::string>& patterns, const StatOptions& options,
                         std::ostream& out);

struct BenchOptions {
  bool parse = false;    // decode every feature into batches, not only read
  bool shuffle = false;  // in a global shuffle; implies parse
  int threads = 1;
  int64_t batch = 256;  // records
  ReadMode read = ReadMode::
      kAuto;       // of what is parsed; what is read is announced a few batches ahead, as a training does
  int repeat = 3;  // passes; the best is shown
  bool baseline = false;  // before each pass, time a bare read() of the files too
};
// Prints "X GB/s  Y records/s". Checksums are always compared. Reading goes from file to file without an
// index, `threads` files at a time, opening included; parsing opens the files once before, and says how long
// that took. With `baseline` a second line tells what read() of the same files into one reused buffer of 1
// MiB reached, and how the passes compare with it: "# bare read(): X GB/s; this is 98 % of it".
absl::Status BenchRecords(FileSystem* fs, const std::vector<std::string>& patterns,
                          const BenchOptions& options, std::ostream& out);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_RECORD_TOOLS_H_
