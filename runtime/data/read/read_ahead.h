// Records read before they are asked for. Which records a run will need is known as far ahead as anyone likes, so whoever
// knows announces them, in order; they are read exactly, neighbours together, within a budget of memory.
#ifndef LOCKSTEP_RUNTIME_DATA_READ_READ_AHEAD_H_
#define LOCKSTEP_RUNTIME_DATA_READ_READ_AHEAD_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "runtime/core/file_system.h"
#include "runtime/core/status.h"
#include "runtime/data/read/async_reads.h"
#include "runtime/data/read/coalesce.h"
#include "runtime/data/record_view.h"

namespace lockstep::data {

struct ReadAheadOptions {
  uint64_t budget_bytes = uint64_t{256} << 20;  // read or being read, and not given up yet
  uint64_t gap_bytes = uint64_t{16} << 10;      // between two records that one read fetches together
  uint64_t most_bytes = uint64_t{1} << 20;      // of a read that fetches several
  int reads = 32;                               // at a time, by io_uring
  int threads = 8;    // that read where io_uring is not permitted, or of remote files
  bool uring = true;  // false: never io_uring
};

// Thread-safe. What comes out is what a plain read gives; only when it is read differs.
class ReadAhead {
 public:
  // `files` are borrowed.
  ReadAhead(std::vector<const ReadableFile*> files, const ReadAheadOptions& options);
  ~ReadAhead();  // waits for what is being read
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  struct Wanted {
    int64_t id = 0;  // the caller's number of a record, the same for the same place
    Place place;
  };
  // These will be asked for, in this order, before what is announced later. They are kept until the ticket goes.
  using Ticket = std::shared_ptr<const void>;
  Ticket Announce(absl::Span<const Wanted> wanted);

  // The bytes of a record: announced and read, else waiting while it is being read, else read now. Error: the file's.
  absl::StatusOr<RecordView> Read(const Wanted& wanted);

  struct Counts {
    int64_t reads = 0;         // begun ahead
    uint64_t read_bytes = 0;   // by them
    int64_t direct_reads = 0;  // of records that were not announced, or whose turn had not come
    uint64_t most_bytes = 0;   // held at a time
  };
  Counts counts() const;
  std::string method() const;  // "io_uring", "8 threads"

 private:
  class Impl;
  const std::shared_ptr<Impl> impl_;
};

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_READ_READ_AHEAD_H_
