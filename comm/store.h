// Where ranks meet before they can talk: a Store holds keys and values, a Meeting exchanges one value of each
// rank.
#ifndef LOCKSTEP_COMM_STORE_H_
#define LOCKSTEP_COMM_STORE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/core/clock.h"
#include "runtime/core/status.h"

namespace lockstep::comm {

// Keys are written once. Thread-safe.
class Store {
 public:
  virtual ~Store() = default;
  virtual absl::Status Put(const std::string& key, absl::string_view value) = 0;
  // Waits for the key. Error: DeadlineError naming the key.
  virtual absl::StatusOr<std::string> Get(const std::string& key, Deadline deadline) = 0;
};

// In the memory of one process, for ranks that are threads.
std::shared_ptr<Store> MakeMemoryStore();
// In one file that every rank can open (also "/proc/self/fd/N"): records appended under a lock. The file must
// exist.
absl::StatusOr<std::shared_ptr<Store>> OpenFileStore(const std::string& path);

// The ranks of one start of a job, brought together. Calls may come from one thread at a time.
class Meeting {
 public:
  virtual ~Meeting() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  // 32 random bytes that the ranks of this start share and nobody else knows: the key of their handshakes.
  virtual const std::string& secret() const = 0;
  // Every rank's `value` for `name`, in rank order. All ranks call it with the same names in the same order;
  // each name once. Error: DeadlineError that lists the ranks that did not come.
  virtual absl::StatusOr<std::vector<std::string>> Exchange(const std::string& name, absl::string_view value,
                                                            Deadline deadline) = 0;
  // Not OK when it has become useless to wait for the others: asked by whoever waits for them outside of
  // Exchange, some times a second. From any thread.
  virtual absl::Status Health() const { return absl::OkStatus(); }
};

// Over a store that holds nothing of an earlier start. Rank 0 makes the secret, unless `secret` is given.
absl::StatusOr<std::unique_ptr<Meeting>> MakeStoreMeeting(std::shared_ptr<Store> store, int rank, int size,
                                                          Deadline deadline, std::string secret = "");
// A world of one.
std::unique_ptr<Meeting> MakeLonelyMeeting();

// 32 bytes from the kernel's generator.
std::string RandomSecret();

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_STORE_H_
